"""Render the sample dataset: 11 classes of planets and moons, so that no download is needed.

    python src/render.py data/raw                    # 1,606 JPEG images of 128 x 128 pixels, 8 MB
    python src/render.py data/more --per-class 2000 --size 256 --seed 5

Writes DIRECTORY/<class>/<class>_<number>.jpg. DIRECTORY must be new or empty. An image depends only on its class,
its number, the seed and the size: a larger --per-class adds images and changes none. The bytes are the same on every
x86-64 machine. The environment variables RENDER_PER_CLASS, RENDER_SIZE and RENDER_SEED change the defaults.
"""

import argparse
import contextlib
import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from classifier.sample.noise import build_tables
from classifier.sample.renderer import MIN_FRAME_SIZE, RenderTask, render_files
from classifier.sample.specs import BODY_SPECS
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import cleanup_on_failure, printable
from utils.parallel import local_pool

BATCH_PIXELS = 2**18  # per task of a worker: enough images to outweigh the time for passing them on
OPTIONS = (  # name, default, lowest value, highest value, help
    ("per-class", 146, 1, 10**6, "images per class"),
    ("size", 128, 8, 4096, "width and height in pixels"),
    ("seed", 77, 0, 2**32 - 1, "another seed gives other images"),
)


def main(directory: Path, per_class: int, size: int, seed: int) -> None:
    """Render all classes into a new folder."""
    target_dir = directory.resolve()
    if target_dir.exists() and not target_dir.is_dir():
        raise UserError(f"{printable(directory)} is not a folder; give a new or an empty folder")
    if target_dir.exists() and any(target_dir.iterdir()):
        raise UserError(f"{printable(directory)} is not empty; give a new folder, or remove this one")
    tasks = [
        RenderTask(class_name, number, seed, size) for class_name in BODY_SPECS for number in range(1, per_class + 1)
    ]
    write_dataset(target_dir, tasks)
    print(f"{len(tasks)} images of {len(BODY_SPECS)} classes in {printable(directory)}")


def write_dataset(target_dir: Path, tasks: list[RenderTask]) -> None:
    """Write all images into a temporary folder and rename it last, so that the target is complete or absent."""
    tmp_dir = target_dir.with_name(f".{target_dir.name}.tmp-{os.getpid()}")
    batch_size = max(1, BATCH_PIXELS // max(tasks[0].size, MIN_FRAME_SIZE) ** 2)
    batches = [tasks[i : i + batch_size] for i in range(0, len(tasks), batch_size)]
    build_tables()  # before the worker processes fork, so that they share the tables
    with cleanup_on_failure(tmp_dir):
        for class_name in BODY_SPECS:
            (tmp_dir / class_name).mkdir(parents=True)
        with local_pool() as pool:  # not Dask, which cannot send cached functions to its workers
            # Only this process writes files: workers could still write while a signal handler removes the folder.
            contents = chain.from_iterable(pool.imap(render_files, batches))
            for task, content in zip(tqdm(tasks, unit=" images", leave=False, disable=None), contents, strict=True):
                (tmp_dir / task.path).write_bytes(content)
        tmp_dir.rename(target_dir)


def bounded_int(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of command-line values that accepts integers from low to high."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if low <= (value := int(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, got {text!r}")

    return parse


def render_parser() -> argparse.ArgumentParser:
    """Return the command-line parser, with defaults from the environment."""
    parser = make_parser(__doc__, "directory")
    for name, default, low, high, description in OPTIONS:
        parser.add_argument(
            f"--{name}",
            type=bounded_int(low, high),
            default=os.environ.get(f"RENDER_{name.upper().replace('-', '_')}", str(default)),
            metavar="N",
            help=f"{description}, {low} to {high} (default: %(default)s)",
        )
    return parser


if __name__ == "__main__":
    run_cli(main, render_parser())
