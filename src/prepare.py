"""Stage 1: turn a folder of labelled pictures into arrays, split into train and test.

    python src/prepare.py data/raw data/prepared

Reads data/raw/<class>/<picture> and the section `prepare` of params.yaml; takes about 1 s for
1,600 pictures. Every picture goes through `utils.images.preprocess`, as it will in service.
"""

import hashlib
import json
import math
import os
import secrets
import stat
import struct
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from utils import params, stage
from utils.images import preprocess
from utils.stage import Failure, is_picture, shown
from utils.workers import Workers, hired


def main(raw: Path, prepared: Path) -> None:
    p = params.load(params.Prepare)
    labels, files, skipped = find_pictures(raw)
    index = {label: i for i, label in enumerate(labels)}
    classes = [index[os.path.dirname(file)] for file in files]
    with hired() as workers, stage.output(prepared) as scratch:
        folder = os.fspath(raw.resolve())
        batches = [files[i : i + 256] for i in range(0, len(files), 256)]
        digests = list(chain.from_iterable(workers.in_order(partial(hash_files, folder), batches)))
        report_shared(raw, files, classes, digests)
        train, test = split(digests, classes, labels, p)
        broken = []
        for part, chosen in (("train", train), ("test", test)):
            names = [files[i] for i in chosen]
            broken += write_part(workers, scratch / part, folder, names, [classes[i] for i in chosen], p)
        if broken:
            raise Failure(
                _listing(f"pictures in {shown(raw)} that cannot be read; mend or remove them", sorted(broken))
            )
        (scratch / "labels.json").write_text(json.dumps(labels, indent=2) + "\n", "utf-8")
        draw_preview(scratch / "train", labels).save(scratch / "preview.png", compress_level=1)
    mode = "grayscale" if p.grayscale else "RGB"
    print(
        f"{len(files)} pictures of {len(labels)} classes: {len(train)} to train on, {len(test)} to test on, "
        f"{p.image_size[0]} x {p.image_size[1]} {mode}; {skipped} other files skipped"
    )


def find_pictures(raw: Path) -> tuple[list[str], list[str], int]:
    """List the dataset: class names in order, picture names `class/file` in order, number of files skipped."""
    if not raw.is_dir():
        raise Failure(f"{shown(raw)} is no folder; draw the sample dataset into it, or put your own there (README)")
    labels, files, skipped, strays = [], [], 0, []
    for folder in sorted(os.scandir(raw), key=lambda entry: entry.name):
        if folder.name.startswith(".") or not os.path.isdir(folder):
            skipped += 1
            if not folder.name.startswith(".") and is_picture(folder.name):
                strays.append(f"{folder.name} is in no class folder")
            continue
        labels.append(folder.name)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                skipped += 1
            elif os.path.isdir(entry):
                strays.append(f"{folder.name}/{entry.name} is a folder inside a class folder")
            elif is_picture(entry.name):
                files.append(f"{folder.name}/{entry.name}")
            else:
                skipped += 1
    if strays:
        raise Failure(_listing(f"{shown(raw)} has to look like <class>/<picture>", strays))
    per_class = Counter(os.path.dirname(file) for file in files)
    if empty := [label for label in labels if not per_class[label]]:
        raise Failure(_listing(f"{shown(raw)} has classes without a picture; fill or remove them", empty))
    if len(labels) < 2:
        raise Failure(f"{shown(raw)} has {len(labels)} classes; at least two folders with pictures are needed")
    same = [" and ".join(group) for group in _groups(labels, str.casefold) if len(group) > 1]
    if same:
        raise Failure(_listing(f"{shown(raw)} has classes that differ only in case; rename or join them", same))
    if bad := [label for label in labels if shown(label) != label]:
        raise Failure(_listing(f"{shown(raw)} has class names that are no printable text; rename them", bad))
    return labels, files, skipped


def _groups(items: Iterable, key) -> list[list]:
    groups: dict = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def _listing(headline: str, items: list[str]) -> str:
    return f"{headline} ({len(items)}):" + "".join(f"\n  {shown(item)}" for item in items)


def read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("no regular file")  # a pipe or a device, which might never end
        return file.readall()


def hash_files(raw: str, names: list[str]) -> list[bytes]:
    """The SHA-256 of each file's bytes."""
    digests = []
    for name in names:
        try:
            content = read(os.path.join(raw, name))
        except (OSError, ValueError):  # named later, with all that cannot be decoded; a picture of its own until then
            content = os.fsencode(name)
        digests.append(hashlib.sha256(content).digest())
    return digests


def report_shared(raw: Path, files: list[str], classes: list[int], digests: list[bytes]) -> None:
    """Say which pictures stand in several classes: one of their labels is wrong."""
    shared = [
        " and ".join(files[i] for i in group)
        for group in _groups(range(len(files)), digests.__getitem__)
        if len({classes[i] for i in group}) > 1
    ]
    if shared:
        tqdm.write(_listing(f"warning: the same picture stands in several classes of {shown(raw)}", shared))


def split(
    digests: list[bytes], classes: list[int], labels: list[str], p: params.Prepare
) -> tuple[list[int], list[int]]:
    """Choose which pictures train and which test.

    Every picture has a place in an order that only its content and the seed decide. Of each
    class the first `split` go to the test side, so names and listing order do not matter, and
    a picture added moves at most the one at the border. Equal pictures have equal places, and
    stay together, across classes as well.

    Returns:
        Indices of the training and of the test pictures, each in that order, which mixes classes.
    """
    keys = [hashlib.sha256(struct.pack("<Q", p.seed) + digest).digest() for digest in digests]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], classes[i]))
    sizes = Counter(classes)
    room = {c: min(max(round(p.split * n), 1), n - 1) for c, n in sizes.items()}  # of each class some on both sides
    test: set[int] = set()
    same = _groups(order, keys.__getitem__)
    # Pictures that stand in several classes choose first: the others can then still even out each class.
    for group in sorted(same, key=lambda group: len({classes[i] for i in group}) == 1):
        for i in group:
            room[classes[i]] -= 1
        if all(room[classes[i]] >= 0 for i in group):
            test.update(group)
        else:
            for i in group:
                room[classes[i]] += 1
    tested = Counter(classes[i] for i in test)
    for c, label in enumerate(labels):
        if not 0 < tested[c] < sizes[c]:
            raise Failure(f"class {label} has too few different pictures to train and to test on; add some")
    return [i for i in order if i not in test], [i for i in order if i in test]


def write_part(
    workers: Workers, folder: Path, raw: str, names: list[str], classes: list[int], p: params.Prepare
) -> list[str]:
    """Write images.npy (uint8, N x H x W x C), labels.npy (int32, N) and files.json (N names) of one side.

    Returns:
        The names of pictures that cannot be read, each with the reason.
    """
    folder.mkdir()
    shape = (*p.image_size, 1 if p.grayscale else 3)
    size = max(1, min(256, 2**22 // math.prod(shape)))  # pictures a task: few enough for memory, many enough for speed
    # A name of its own for each run: a worker that was given up for dead may still be writing.
    path = (folder / f"{secrets.token_hex(8)}.npy").resolve()
    with open(path, "xb") as out:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(names), *shape)}
        np.lib.format.write_array_header_1_0(out, header)
        start = out.tell()
        out.truncate(start + len(names) * math.prod(shape))
    tasks = [(start + i * math.prod(shape), names[i : i + size]) for i in range(0, len(names), size)]
    work = partial(decode, raw, os.fspath(path), image_size=p.image_size, grayscale=p.grayscale)
    broken = []
    with tqdm(total=len(names), unit=" pictures", disable=None) as bar:
        for (_, part), failures in zip(tasks, workers.in_order(work, tasks), strict=True):
            broken += failures
            bar.update(len(part))
    path.rename(folder / "images.npy")
    np.save(folder / "labels.npy", np.array(classes, np.int32))
    (folder / "files.json").write_text(json.dumps(names, indent=0) + "\n", "ascii")
    return broken


def decode(raw: str, path: str, task: tuple[int, list[str]], image_size: tuple[int, int], grayscale: bool) -> list[str]:
    """Decode some pictures and write their pixels (uint8, height x width x channels each) where they belong.

    They do not go through a pipe to the parent: a worker that dies while it writes there stops the others for ever.

    Args:
        path: the file to write into.
        task: the offset in it of the first picture in bytes, and the pictures' names.

    Returns:
        The names of pictures that cannot be read, each with the reason.
    """
    offset, names = task
    pixels, broken = [], []
    for name in names:
        try:
            pixels.append(preprocess(read(os.path.join(raw, name)), image_size, grayscale).tobytes())
        except OSError as error:
            broken.append(f"{name}: {error.strerror or error}")
        except ValueError as error:
            broken.append(f"{name}: {error}")
    with open(path, "r+b") as out:
        out.seek(offset)
        out.writelines(pixels)
    return broken


def draw_preview(part: Path, labels: list[str], columns: int = 10, cell: int = 64) -> Image.Image:
    """Draw some prepared pictures of each class (at most 20 classes), a row a class, with its name."""
    images, classes = np.load(part / "images.npy", mmap_mode="r"), np.load(part / "labels.npy")
    font = ImageFont.load_default(14)
    rows, margin = min(len(labels), 20), 130
    sheet = Image.new("RGB", (margin + columns * (cell + 2), rows * (cell + 2)), "white")
    draw = ImageDraw.Draw(sheet)
    for row in range(rows):
        y = row * (cell + 2)
        draw.text((margin - 10, y + cell // 2), labels[row], "black", font, anchor="rm")
        for column, i in enumerate(np.flatnonzero(classes == row)[:columns]):
            picture = Image.fromarray(images[i].squeeze()).resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(picture, (margin + column * (cell + 2), y))
    return sheet


if __name__ == "__main__":
    stage.run(main, __doc__, "raw", "prepared")
