"""Decode images in parallel into one array file."""

import hashlib
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from classifier.config import PrepareParams
from classifier.data.discovery import RawDataset
from classifier.data.duplicates import make_thumbnails
from classifier.data.silence import silence_decoders
from classifier.images import preprocess
from utils.files import read_regular_file
from utils.parallel import Pool

MAX_CHUNK_IMAGES = 256
MAX_CHUNK_BYTES = 2**22  # of pixels, in each worker
MIN_CHUNKS_PER_WORKER = 8  # because some images take longer than others
MAX_NOISE = 3  # of 255: an image whose values differ by no more has a single colour


class ImageInfo(NamedTuple):
    """What a worker finds out about an image.

    Attributes:
        digest: the SHA-256 of the file's content.
        error: why the image cannot be read, or "".
        has_single_color: whether all pixels have almost the same colour.
        thumbnails: see `make_thumbnails`; b"" with `near_duplicates: separate`.
    """

    digest: bytes
    error: str = ""
    has_single_color: bool = False
    thumbnails: bytes = b""


@dataclass(frozen=True)
class DecodedImages:
    """The images of a dataset, in its order, as one file of pixels without a header.

    Attributes:
        path: the file.
        shape: (height, width, channels) of each image.
        infos: one per image.
        positions: the position of each image in the file.
    """

    path: Path
    shape: tuple[int, int, int]
    infos: list[ImageInfo]
    positions: Sequence[int]

    def iter_bytes(self, indices: list[int]) -> Iterator[bytes]:
        """Yield the pixels of the images with these indices."""
        size = math.prod(self.shape)
        with self.path.open("rb") as file:
            for i in indices:
                yield os.pread(file.fileno(), size, self.positions[i] * size)


@dataclass(frozen=True)
class Chunk:
    """Consecutive images: one task for a worker.

    Attributes:
        offset: the position of the first image's pixels in the file, in bytes.
        paths: the images.
    """

    offset: int
    paths: list[str]


@contextmanager
def decode_images(pool: Pool, dataset: RawDataset, folder: Path, params: PrepareParams) -> Iterator[DecodedImages]:
    """Decode all images of a dataset into a file in `folder`, which is removed at the end of the block."""
    shape = (*params.image_size, 1 if params.grayscale else 3)
    # A unique name, because a worker that was presumed dead may still write to the file of an earlier run.
    out_path = folder.resolve() / f"{secrets.token_hex(8)}.pixels"
    out_path.touch()
    chunks = make_chunks(dataset.paths, math.prod(shape), pool.num_workers)
    decode = partial(
        decode_chunk,
        dataset.root.resolve(),
        out_path,
        image_size=params.image_size,
        grayscale=params.grayscale,
        with_thumbnails=params.near_duplicates == "together",
    )
    infos: list[ImageInfo] = []
    with tqdm(total=len(dataset.paths), unit=" images", disable=None) as bar:
        for chunk_infos in pool.imap(decode, chunks):
            infos += chunk_infos
            bar.update(len(chunk_infos))
    yield DecodedImages(out_path, shape, infos, range(len(infos)))
    out_path.unlink()


def make_chunks(paths: list[str], image_bytes: int, num_workers: int) -> list[Chunk]:
    """Divide the images into chunks of almost equal size, so that all workers finish at about the same time."""
    max_size = max(1, min(MAX_CHUNK_IMAGES, MAX_CHUNK_BYTES // image_bytes))
    chunks_per_worker = max(MIN_CHUNKS_PER_WORKER, math.ceil(len(paths) / (max_size * num_workers)))
    num_chunks = min(chunks_per_worker * num_workers, len(paths))
    bounds = (len(paths) * k // num_chunks for k in range(num_chunks + 1))
    return [Chunk(start * image_bytes, paths[start:end]) for start, end in pairwise(bounds)]


def decode_chunk(
    root: Path,
    out_path: Path,
    chunk: Chunk,
    image_size: tuple[int, int],
    grayscale: bool,
    with_thumbnails: bool,
) -> list[ImageInfo]:
    """Decode the images of a chunk and write their pixels to the file; those of an unreadable image are zeros.

    Workers write to the file themselves: a worker that dies while it writes to a pipe would block the pool.
    """
    silence_decoders()
    images = np.zeros((len(chunk.paths), *image_size, 1 if grayscale else 3), np.uint8)
    digests, errors = [], []
    for image, path in zip(images, chunk.paths, strict=True):
        content, error = b"", ""
        try:
            content = read_regular_file(f"{root}/{path}")
            image[:] = preprocess(content, image_size, grayscale)[0]
        except OSError as exception:
            error = exception.strerror or str(exception)
        except ValueError as exception:
            error = str(exception)
        digests.append(hashlib.sha256(content).digest())
        errors.append(error)
    with out_path.open("r+b") as file:
        file.seek(chunk.offset)
        file.write(images.data)
    thumbnails = map(bytes, make_thumbnails(images)) if with_thumbnails else [b""] * len(images)
    return list(map(ImageInfo, digests, errors, have_single_color(images).tolist(), thumbnails))


def have_single_color(images: np.ndarray) -> np.ndarray:
    """Return for each image whether no channel varies by more than MAX_NOISE, as bool of shape (N,).

    Args:
        images: uint8 array of shape (N, height, width, channels).
    """
    height, width = images.shape[1:3]
    sample = images[:, :: max(1, height // 8), :: max(1, width // 8)]  # most images vary here already
    result = np.ptp(sample, axis=(1, 2)).max(axis=1) <= MAX_NOISE
    result[result] = np.ptp(images[result], axis=(1, 2)).max(axis=1) <= MAX_NOISE
    return result
