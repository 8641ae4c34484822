"""Read large arrays in parts, and group equal elements."""

from collections.abc import Iterator
from itertools import chain

import numpy as np


def iter_batches(array: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield copies of consecutive elements, `batch_size` at a time.

    A memory-mapped file is mapped anew for each batch, because the pages that were read count as memory of the process.
    """
    for start in range(0, len(array), batch_size):
        if isinstance(array, np.memmap) and array.filename:
            array = np.memmap(array.filename, array.dtype, "r", array.offset, array.shape)
        yield np.array(array[start : start + batch_size])


def iter_elements(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield copies of the elements of an array, read in parts as `iter_batches` does."""
    return chain.from_iterable(iter_batches(array, 64))


def iter_groups(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield an array of positions for each number that occurs at least twice. Numbers and positions ascend.

    Args:
        ids: integers from 0, of shape (N,).
    """
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        yield order[start : start + size]
