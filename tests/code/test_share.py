"""Sharing: push from one clone, pull in another, over a folder and over S3, and what happens when that fails."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT, fails, run, s3_server

KEYS = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_MAX_ATTEMPTS": "1"}
PACKAGE = "model/celestial_bodies_classifier_model.bentomodel"
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid")


@pytest.fixture
def mine(tmp_path: Path, trained: Path) -> Path:
    """A clone that has everything, with this project's own DVC settings."""
    folder = clone(trained, tmp_path / "mine")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    subprocess.run((*GIT, "commit", "-qam", "settings"), cwd=folder, check=True)
    shutil.copytree(trained / ".dvc/cache", folder / ".dvc/cache")
    return folder


def clone(source: Path, folder: Path) -> Path:
    subprocess.run(("git", "clone", "-q", source, folder), check=True)
    return folder


def succeeds(folder: Path, *command: str, **environment: str) -> str:
    result = run(folder, *command, **environment)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def use_s3(folder: Path, url: str) -> None:
    """The README's command; a server other than Amazon's needs the second."""
    succeeds(folder, "dvc", "remote", "modify", "--local", "storage", "url", "s3://bucket/models")
    succeeds(folder, "dvc", "remote", "modify", "--local", "storage", "endpointurl", url)


def stored(folder: Path) -> int:
    """The number of a remote's files, each of which holds what its name says."""
    files = [file for file in folder.rglob("*") if file.is_file() and "files" in file.parts]
    for file in files:
        assert hashlib.md5(file.read_bytes()).hexdigest() == file.parent.name + file.name.removesuffix(".dir"), file
    return len(files)


def test_a_folder_beside_the_clone_needs_no_setting(mine: Path, tmp_path: Path) -> None:
    succeeds(mine, "dvc", "push")
    assert stored(tmp_path / "celestial-bodies-storage") > 140
    yours = clone(mine, tmp_path / "yours")
    succeeds(yours, "dvc", "pull")
    assert (yours / "evaluation/plots/confusion_matrix.png").is_file()
    assert (yours / "data/prepared/train/images.npy").is_file()
    assert succeeds(yours, "dvc", "status", "--cloud").strip() == "Cache and remote 'storage' are in sync."


def test_a_colleague_gets_the_model_alone(mine: Path, tmp_path: Path) -> None:
    succeeds(mine, "dvc", "push", PACKAGE)
    subprocess.run((*GIT, "tag", "-am", "first", "celestial-bodies-classifier@v1.0.0"), cwd=mine, check=True)
    folder, name = tmp_path / "colleague", Path(PACKAGE).name
    folder.mkdir()
    succeeds(folder, "dvc", "get", str(mine), PACKAGE)
    got = (folder / name).read_bytes()
    (folder / name).unlink()
    succeeds(folder, "dvc", "artifacts", "get", str(mine), "celestial-bodies-classifier")
    assert got == (folder / name).read_bytes()
    store = {"BENTOML_HOME": str(folder / "store")}
    succeeds(folder, "bash", "-c", f'bentoml models import "$PWD/{name}"', **store)
    listed = json.loads(succeeds(folder, "bentoml", "models", "list", "-o", "json", **store))
    tag = json.loads((mine / "evaluation/metrics.json").read_text())["model"]
    assert [model["tag"] for model in listed] == [tag]


def test_over_s3(mine: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as (url, _):
        use_s3(mine, url)
        succeeds(mine, "dvc", "push", **KEYS)
        yours = clone(mine, tmp_path / "yours")
        shutil.copy(mine / ".dvc/config.local", yours / ".dvc")
        succeeds(yours, "dvc", "pull", **KEYS)
        assert "in sync" in succeeds(yours, "dvc", "status", "--cloud", **KEYS)
    assert "Running" not in succeeds(yours, "dvc", "repro")
    succeeds(yours, "src/evaluate.py", "model", "data/prepared", BENTOML_HOME=str(tmp_path / "store"))
    for folder in (mine, yours):  # so the tag that was evaluated is the committed one, and no key is in Git
        assert succeeds(folder, "git", "status", "--porcelain") == ""


def test_wrong_keys_and_a_server_that_dies_lose_nothing(mine: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3", "--bwlimit", "100k") as (url, server):
        use_s3(mine, url)
        fails(run(mine, "dvc", "push", **{**KEYS, "AWS_SECRET_ACCESS_KEY": "wrong"}), "Forbidden", code=255)
        assert stored(tmp_path / "s3") == 0
        command = ("dvc", "push", "--jobs", "4")
        environment = {**os.environ, **KEYS}
        push = subprocess.Popen(command, cwd=mine, env=environment, stderr=subprocess.PIPE, text=True)
        while push.poll() is None and len([f for f in (tmp_path / "s3").rglob("*") if f.is_file()]) < 20:
            time.sleep(0.05)
        server.kill()
        _, error = push.communicate()
    # DVC meets the dead server as it sends a file, or as it asks what is there.
    told = {1: "files failed to upload", 255: "Could not connect"}
    assert told.get(push.returncode, "another status") in error and "Traceback" not in error, (push.returncode, error)
    before = stored(tmp_path / "s3")
    with s3_server(tmp_path / "s3") as (url, _):
        use_s3(mine, url)
        succeeds(mine, "dvc", "push", **KEYS)
        assert "in sync" in succeeds(mine, "dvc", "status", "--cloud", **KEYS)
    assert 10 < before < stored(tmp_path / "s3")


def test_a_full_disk_on_the_way_loses_nothing(mine: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk), capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with s3_server(disk) as (url, _):
            use_s3(mine, url)
            fails(run(mine, "dvc", "push", **KEYS), "files failed to upload")
            before = stored(disk)
            subprocess.run(("mount", "-o", "remount,size=20m", disk), check=True)
            succeeds(mine, "dvc", "push", **KEYS)
            assert "in sync" in succeeds(mine, "dvc", "status", "--cloud", **KEYS)
        assert before < stored(disk)
    finally:
        subprocess.run(("umount", disk), check=True)
