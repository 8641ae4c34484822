"""Decode images in parallel, and write them as arrays.

Each split is a folder of three files:

    images.npy   uint8, (N, height, width, channels)
    labels.npy   int32, (N,), indices into the class names
    files.json   N names, "class/file"
"""

import json
import math
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from classifier.config import PrepareParams
from classifier.data.discovery import ImageFolder
from classifier.images import preprocess
from utils.files import read_regular_file
from utils.parallel import Pool

MAX_CHUNK_IMAGES = 256
MAX_CHUNK_BYTES = 2**22  # of pixels, in each worker


@dataclass(frozen=True)
class Chunk:
    """Consecutive images: one task for a worker.

    Attributes:
        offset: the position of the first image's pixels in images.npy, in bytes.
        paths: the images.
    """

    offset: int
    paths: list[str]


def write_split(pool: Pool, dataset: ImageFolder, indices: list[int], folder: Path, params: PrepareParams) -> list[str]:
    """Decode the images with these indices and write the files of one split into a new folder.

    Returns:
        The images that cannot be read, each with the reason.
    """
    folder.mkdir()
    paths = [dataset.paths[i] for i in indices]
    shape = (len(paths), *params.image_size, 1 if params.grayscale else 3)
    # A unique name, because a worker that was presumed dead may still write to the file of an earlier run.
    out_path = folder.resolve() / f"{secrets.token_hex(8)}.npy"
    data_offset = _create_array_file(out_path, shape)
    chunks = make_chunks(paths, data_offset, math.prod(shape[1:]), pool.num_workers)
    decode = partial(
        decode_chunk, dataset.root.resolve(), out_path, image_size=params.image_size, grayscale=params.grayscale
    )
    unreadable = []
    with tqdm(total=len(paths), unit=" images", disable=None) as bar:
        for chunk, failures in zip(chunks, pool.imap(decode, chunks), strict=True):
            unreadable += failures
            bar.update(len(chunk.paths))
    out_path.rename(folder / "images.npy")
    np.save(folder / "labels.npy", np.array([dataset.labels[i] for i in indices], np.int32))
    (folder / "files.json").write_text(json.dumps(paths, indent=0) + "\n", "ascii")
    return unreadable


def _create_array_file(path: Path, shape: tuple[int, ...]) -> int:
    """Create a .npy file of uint8 zeros, and return the position of its data in bytes."""
    with path.open("xb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        data_offset = file.tell()
        file.truncate(data_offset + math.prod(shape))
    return data_offset


def make_chunks(paths: list[str], data_offset: int, image_bytes: int, num_workers: int) -> list[Chunk]:
    """Divide the images into chunks of equal size, so that all workers finish at the same time."""
    max_size = max(1, min(MAX_CHUNK_IMAGES, MAX_CHUNK_BYTES // image_bytes))
    chunks_per_worker = math.ceil(len(paths) / (max_size * num_workers))
    size = math.ceil(len(paths) / (chunks_per_worker * num_workers))
    return [Chunk(data_offset + i * image_bytes, paths[i : i + size]) for i in range(0, len(paths), size)]


def decode_chunk(root: Path, out_path: Path, chunk: Chunk, image_size: tuple[int, int], grayscale: bool) -> list[str]:
    """Decode the images of a chunk and write their pixels to the array file.

    Workers write to the file themselves: a worker that dies while it writes to a pipe would block the pool.

    Returns:
        The images that cannot be read, each with the reason.
    """
    pixels, unreadable = [], []
    for path in chunk.paths:
        try:
            content = read_regular_file(f"{root}/{path}")
            pixels.append(preprocess(content, image_size, grayscale).tobytes())
        except OSError as error:
            unreadable.append(f"{path}: {error.strerror or error}")
        except ValueError as error:
            unreadable.append(f"{path}: {error}")
    with out_path.open("r+b") as file:
        file.seek(chunk.offset)
        file.writelines(pixels)
    return unreadable
