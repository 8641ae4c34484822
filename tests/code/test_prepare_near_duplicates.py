"""prepare.py: copies of an image in another quality or size stay in the same set."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import PREPARE, run_ok
from support.projects import SMALL_PARAMS, make_cats_and_dogs


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """20 scenes in each of two classes; each scene as a JPEG, a smaller one, and one of lower quality."""

    def save(path: Path, rng: np.random.Generator) -> None:
        coarse = Image.fromarray(rng.integers(20, 220, (6, 8, 3), np.uint8))
        scene = coarse.resize((160, 120), Image.Resampling.BICUBIC)
        scene.save(f"{path}_original.jpg", quality=95)
        scene.resize((80, 60)).save(f"{path}_small.jpg")
        scene.save(f"{path}_low.jpg", quality=40)

    return make_cats_and_dogs(tmp_path / "project", 20, save)


def scenes(project: Path) -> dict[str, set[str]]:
    """Return the scenes in each set."""
    prepared_dir = project / "data/prepared"
    return {
        name: {file.split("_")[0] for file in json.loads((prepared_dir / name / "files.json").read_text())}
        for name in ("train", "validation", "test")
    }


def test_prepare_divides_no_group_of_near_duplicates(project: Path) -> None:
    assert "; 40 groups of near-duplicates; " in run_ok(project, *PREPARE)
    sets = scenes(project)
    assert sum(map(len, sets.values())) == 40 and all(sets.values())
    groups = json.loads((project / "data/prepared/near_duplicates.json").read_text())
    assert sorted(map(sorted, groups)) == sorted(
        [f"{name}/{i}_{kind}.jpg" for kind in ("low", "original", "small")]
        for name in ("cat", "dog")
        for i in range(20)
    )


def test_prepare_with_separate_divides_them(project: Path) -> None:
    (project / "params.yaml").write_text(
        SMALL_PARAMS.replace("seed: 77, split", "near_duplicates: separate, seed: 77, split")
    )
    assert "; 0 groups of near-duplicates; " in run_ok(project, *PREPARE)
    assert sum(map(len, scenes(project).values())) > 60
