"""utils.arrays: large arrays are read in parts, and equal elements are grouped."""

import re
from pathlib import Path

import numpy as np
import pytest

from utils.arrays import iter_batches, iter_groups


@pytest.mark.parametrize("is_mapped", [False, True])
def test_iter_batches_yields_all_elements_in_order(tmp_path: Path, is_mapped: bool) -> None:
    array = np.arange(7 * 6, dtype=np.uint8).reshape(7, 3, 2)
    np.save(tmp_path / "array.npy", array)
    source = np.load(tmp_path / "array.npy", mmap_mode="r" if is_mapped else None)
    batches = list(iter_batches(source, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert (np.concatenate(batches) == array).all()


def test_iter_batches_of_a_large_file_keeps_one_batch_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.ones((64, 2**20), np.uint8))
    before = mapped_bytes()
    for batch in iter_batches(np.load(tmp_path / "array.npy", mmap_mode="r"), 4):
        batch.sum()
        assert mapped_bytes() - before < 8 * 2**20


def mapped_bytes() -> int:
    """Return how much memory of this process is pages of files."""
    status = Path("/proc/self/status").read_text("utf-8")
    match = re.search(r"RssFile:\s+(\d+)", status)
    assert match
    return int(match[1]) * 1024


@pytest.mark.parametrize(
    ("ids", "expected"), [([], []), ([0], []), ([5, 0, 7, 5, 1, 0, 5], [[1, 5], [0, 3, 6]]), ([2] * 3, [[0, 1, 2]])]
)
def test_iter_groups_yields_numbers_that_occur_twice(ids: list[int], expected: list[list[int]]) -> None:
    assert [group.tolist() for group in iter_groups(np.array(ids, int))] == expected
