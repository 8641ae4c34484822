"""Fixtures for tests of the images."""

from pathlib import Path

import pytest

from classifier.config import PrepareParams, load_params
from classifier.data.dataset import Split, list_splits, load_split
from classifier.data.discovery import RawDataset, list_images


@pytest.fixture(scope="session")
def class_names(workspace: Path) -> list[str]:
    return load_split(workspace / "data/prepared", "train")[0]


@pytest.fixture(scope="session")
def splits(workspace: Path) -> dict[str, Split]:
    prepared_dir = workspace / "data/prepared"
    return {name: load_split(prepared_dir, name)[1] for name in list_splits(prepared_dir)}


@pytest.fixture(scope="session")
def dataset(workspace: Path) -> RawDataset:
    """The images in data/raw, with their classes."""
    return list_images(workspace / "data/raw", load_params(PrepareParams, workspace / "params.yaml").nested)
