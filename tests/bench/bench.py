"""Measure each stage beside the same work written with the stock libraries (stock.py), for growing datasets.

    python tests/bench/bench.py                               # everything; about 15 minutes on two idle cores
    python tests/bench/bench.py --sizes 1 10 --stages prepare
    python tests/bench/bench.py --data ~/bench                # keep the rendered images in this folder

Each measurement is of a whole process including imports, except "one more epoch" and "after the import". The two
versions run alternately; the fastest of several runs counts. Ratios are stock divided by ours, so above 1 ours is
better. All images are different; src/render.py renders them.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import yaml
from cost import Cost, alternate, describe_growth, measure, print_row
from project import ROOT, make_project, remove_outputs, write_params

NUM_CLASSES, IMAGES_PER_CLASS = 11, 146  # as in the sample dataset
REPEATS = {1: 3, 10: 2}  # runs per dataset size; the fastest counts
EPOCHS = {1: 11, 10: 3}  # of the second training run, per dataset size
TUTORIAL_PARAMS = {
    "prepare": {"seed": 77, "split": 0.2, "image_size": [32, 32], "grayscale": True},
    "train": {"seed": 77, "lr": 0.0001, "epochs": 5, "conv_size": 32, "dense_size": 64, "output_classes": 11},
}
OURS = {
    "prepare": (sys.executable, "src/prepare.py", "data/raw", "data/prepared"),
    "train": (sys.executable, "src/train.py", "data/prepared", "model"),
    "evaluate": (sys.executable, "src/evaluate.py", "model", "data/prepared"),
}
STOCK = (sys.executable, str(Path(__file__).with_name("stock.py")))
IMPORT_ONLY = (
    "import sys; sys.path.insert(0, 'src'); import evaluate; evaluate.seed.set_seed(0); import bentoml, bentoml.keras"
)
DECODE_LOOP = """
import glob, os
from PIL import Image
files, cores = sorted(glob.glob("data/raw/*/*")), len(os.sched_getaffinity(0))
worker = next((k for k in range(1, cores) if os.fork() == 0), 0)
for file in files[worker::cores]:
    with Image.open(file) as image:
        image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR).tobytes()
if worker == 0:
    for _ in range(1, cores):
        os.wait()
"""

notes: list[str] = []  # printed below the table


def bench_prepare(folder: Path, size: int, num_images: int) -> Cost:
    def ours() -> Cost:
        remove_outputs(folder, "data/prepared")
        return measure(folder, *OURS["prepare"])

    def stock() -> Cost:
        remove_outputs(folder, "stock")
        return measure(folder, *STOCK, "prepare")

    def decode_loop() -> Cost:
        return measure(folder, sys.executable, "-c", DECODE_LOOP)

    ours_cost, stock_cost, loop_cost = alternate(REPEATS.get(size, 1), ours, stock, decode_loop)
    print_row("prepare", size, ours_cost, stock_cost, num_images)
    notes.append(
        f"prepare, {size}x: {loop_cost.wall / ours_cost.wall:.0%} of the images per second of a loop that only decodes "
        f"and resizes ({num_images / loop_cost.wall:,.0f}), both including imports"
    )
    return ours_cost


def bench_train(folder: Path, size: int, num_images: int, params: dict) -> Cost:
    """Measure runs of one epoch, and the cost of one more; stock uses this project's network and threads."""

    def ours() -> Cost:
        remove_outputs(folder, "model")
        return measure(folder, *OURS["train"])

    def stock() -> Cost:
        remove_outputs(folder, "stock/model")
        return measure(folder, *STOCK, "train", "our-network")

    write_params(folder, params, epochs=1)
    first = alternate(REPEATS.get(size, 1), ours, stock)
    print_row("train, start and 1 epoch", size, *first, num_images)
    if size in EPOCHS:
        write_params(folder, params, epochs=EPOCHS[size])
        more = alternate(REPEATS.get(size, 1), ours, stock)
        each = [
            Cost((b.wall - a.wall) / (EPOCHS[size] - 1), (b.cpu - a.cpu) / (EPOCHS[size] - 1), b.peak, b.written)
            for a, b in zip(first, more, strict=True)
        ]
        print_row("train, one more epoch", size, *each, num_images)
    return first[0]


def bench_evaluate(folder: Path, size: int, num_images: int) -> Cost:
    def ours() -> Cost:
        remove_outputs(folder, "evaluation")
        return measure(folder, *OURS["evaluate"])

    def stock() -> Cost:
        remove_outputs(folder, "stock/evaluation")
        return measure(folder, *STOCK, "evaluate")

    def imports() -> Cost:
        return measure(folder, sys.executable, "-c", IMPORT_ONLY)

    ours_cost, stock_cost, import_cost = alternate(REPEATS.get(size, 1), ours, stock, imports)
    print_row("evaluate", size, ours_cost, stock_cost, num_images // 5)
    notes.append(f"evaluate, {size}x: {ours_cost.wall - import_cost.wall:.1f} s after the import")
    return ours_cost


def bench_repro(folder: Path, raw_dir: Path, size: int, num_images: int) -> None:
    """Measure a first `dvc repro` with the tutorial's parameters; stock with the tutorial's network, and with ours."""

    def repro(name: str, pipeline: dict) -> Cost:
        project = make_project(folder / name, raw_dir, TUTORIAL_PARAMS)
        (project / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
        measure(project, "dvc", "init", "--no-scm", "--quiet")
        cost = measure(project, "dvc", "repro")
        shutil.rmtree(project)
        return cost

    def stock(*network: str) -> Cost:
        def stage(name: str, dep: str, out: str) -> dict:
            return {"cmd": " ".join((*STOCK, name, *network)), "deps": [dep], "outs": [out], "params": ["prepare"]}

        stages = {
            "prepare": stage("prepare", "data/raw", "stock/prepared"),
            "train": stage("train", "stock/prepared", "stock/model"),
            "evaluate": stage("evaluate", "stock/model", "stock/evaluation"),
        }
        return repro("stock", {"stages": stages})

    def ours() -> Cost:
        pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
        return repro("ours", {key: pipeline[key] for key in ("vars", "stages")})

    ours_cost, tutorial_cost, same_network_cost = alternate(1, ours, stock, lambda: stock("our-network"))
    print_row("dvc repro", size, ours_cost, tutorial_cost, num_images)
    print_row("dvc repro, stock with our network", size, ours_cost, same_network_cost, num_images)


def main() -> None:
    """Run the benchmarks and print the table and notes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[1, 10, 60], help="multiples of the sample dataset (default: 1 10 60)"
    )
    stages = ["prepare", "train", "evaluate", "repro"]
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages)
    parser.add_argument("--data", type=Path, help="keep the rendered images here (default: a temporary folder)")
    args = parser.parse_args()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    start, ours = time.perf_counter(), {}
    print(f"{len(os.sched_getaffinity(0))} cores; ratios are stock / ours\n")
    print(f"| | size |{' ratio: wall | CPU | memory | written |'}{' s | CPU s | images/s | MiB | MB |' * 2}")
    print(f"|{'---|' * 2}{'---:|' * 14}", flush=True)
    # In the same folder as the images, because hard links cannot cross file systems.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=args.data) as scratch:
        for size in sorted(args.sizes):
            num_images = NUM_CLASSES * IMAGES_PER_CLASS * size
            raw_dir = (args.data or Path(scratch)).resolve() / f"raw-{size}x"
            if not raw_dir.exists():
                options = ("--per-class", str(IMAGES_PER_CLASS * size))
                measure(Path(scratch), sys.executable, str(ROOT / "src/render.py"), str(raw_dir), *options)
            folder = make_project(Path(scratch, f"{size}x"), raw_dir, params)
            if {"prepare", "train", "evaluate"} & set(args.stages):
                ours["prepare", size] = bench_prepare(folder, size, num_images)
            if {"train", "evaluate"} & set(args.stages):
                ours["train", size] = bench_train(folder, size, num_images, params)
            if "evaluate" in args.stages:
                ours["evaluate", size] = bench_evaluate(folder, size, num_images)
            shutil.rmtree(folder)
            if "repro" in args.stages and size <= 10:
                bench_repro(Path(scratch, "repro"), raw_dir, size, num_images)
    print("", *notes, *describe_growth(ours), f"total time: {(time.perf_counter() - start) / 60:.0f} minutes", sep="\n")


if __name__ == "__main__":
    main()
