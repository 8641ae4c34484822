"""Fixtures for tests of the images."""

from pathlib import Path

import pytest

from classifier.data.dataset import Split, list_splits, load_split


@pytest.fixture(scope="session")
def class_names(workspace: Path) -> list[str]:
    return load_split(workspace / "data/prepared", "train")[0]


@pytest.fixture(scope="session")
def splits(workspace: Path) -> dict[str, Split]:
    prepared_dir = workspace / "data/prepared"
    return {name: load_split(prepared_dir, name)[1] for name in list_splits(prepared_dir)}
