"""Sharing: push from one clone and pull in another, through a folder and through S3; and faults on the way."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.commands import assert_fails, run, run_ok
from support.projects import ARCHIVE_PATH, GIT, copy_dvc_settings
from support.s3 import S3_KEYS, s3_server

pytestmark = pytest.mark.slow

ARTIFACT = Path(ARCHIVE_PATH).name.removesuffix("_model.bentomodel")


@pytest.fixture
def my_clone(tmp_path: Path, trained: Path) -> Path:
    """A clone with all data, and with the DVC settings of a new clone."""
    folder = clone(trained, tmp_path / "mine")
    copy_dvc_settings(folder)
    subprocess.run((*GIT, "commit", "-qam", "settings"), cwd=folder, check=True)
    shutil.copytree(trained / ".dvc/cache", folder / ".dvc/cache")
    return folder


def clone(source: Path, folder: Path) -> Path:
    subprocess.run(("git", "clone", "-q", source, folder), check=True)
    return folder


def use_s3(folder: Path, url: str) -> None:
    """Set the remote as the documentation says; a server other than Amazon's needs `endpointurl`."""
    run_ok(folder, "dvc", "remote", "modify", "--local", "storage", "url", "s3://bucket/models")
    run_ok(folder, "dvc", "remote", "modify", "--local", "storage", "endpointurl", url)


def count_stored_files(folder: Path) -> int:
    """Return the number of files of a remote; check that the name of each is the hash of its content."""
    files = [file for file in folder.rglob("*") if file.is_file() and "files" in file.parts]
    # What a killed server has of an upload is not a file of the remote.
    files = [file for file in files if not file.name.startswith(".rclone_temp_put_")]
    for file in files:
        assert hashlib.md5(file.read_bytes()).hexdigest() == file.parent.name + file.name.removesuffix(".dir"), file
    return len(files)


def test_push_to_folder_beside_clone_needs_no_setting(my_clone: Path, tmp_path: Path) -> None:
    run_ok(my_clone, "dvc", "push")
    assert count_stored_files(tmp_path / "celestial-bodies-storage") > 140
    other_clone = clone(my_clone, tmp_path / "yours")
    run_ok(other_clone, "dvc", "pull")
    assert (other_clone / "evaluation/plots/confusion_matrix.png").is_file()
    assert (other_clone / "data/prepared/train/images.npy").is_file()
    assert run_ok(other_clone, "dvc", "status", "--cloud").strip() == "Cache and remote 'storage' are in sync."


def test_dvc_get_without_this_repository_gives_the_model(my_clone: Path, tmp_path: Path) -> None:
    run_ok(my_clone, "dvc", "push", ARCHIVE_PATH)
    subprocess.run((*GIT, "tag", "-am", "first", f"{ARTIFACT}@v1.0.0"), cwd=my_clone, check=True)
    folder, name = tmp_path / "colleague", Path(ARCHIVE_PATH).name
    folder.mkdir()
    run_ok(folder, "dvc", "get", str(my_clone), ARCHIVE_PATH)
    got = (folder / name).read_bytes()
    (folder / name).unlink()
    run_ok(folder, "dvc", "artifacts", "get", str(my_clone), ARTIFACT)
    assert got == (folder / name).read_bytes()
    store = {"BENTOML_HOME": str(folder / "store")}
    run_ok(folder, "bash", "-c", f'bentoml models import "$PWD/{name}"', **store)
    listed = json.loads(run_ok(folder, "bentoml", "models", "list", "-o", "json", **store))
    tag = json.loads((my_clone / "evaluation/metrics.json").read_text())["model"]
    assert [model["tag"] for model in listed] == [tag]


def test_push_to_s3_and_pull_gives_the_evaluated_model(my_clone: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as (url, _):
        use_s3(my_clone, url)
        run_ok(my_clone, "dvc", "push", **S3_KEYS)
        other_clone = clone(my_clone, tmp_path / "yours")
        shutil.copy(my_clone / ".dvc/config.local", other_clone / ".dvc")
        run_ok(other_clone, "dvc", "pull", **S3_KEYS)
        assert "in sync" in run_ok(other_clone, "dvc", "status", "--cloud", **S3_KEYS)
    assert "Running" not in run_ok(other_clone, "dvc", "repro")
    run_ok(other_clone, "src/evaluate.py", "model", "data/prepared", BENTOML_HOME=str(tmp_path / "store"))
    for folder in (my_clone, other_clone):  # the evaluated tag is the committed one, and no key is in Git
        assert run_ok(folder, "git", "status", "--porcelain") == ""


def test_push_with_wrong_keys_or_killed_server_loses_nothing(my_clone: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3", "--bwlimit", "100k") as (url, server):
        use_s3(my_clone, url)
        assert_fails(
            run(my_clone, "dvc", "push", **{**S3_KEYS, "AWS_SECRET_ACCESS_KEY": "wrong"}), "Forbidden", code=255
        )
        assert count_stored_files(tmp_path / "s3") == 0
        command = ("dvc", "push", "--jobs", "4")
        environment = {**os.environ, **S3_KEYS}
        push = subprocess.Popen(command, cwd=my_clone, env=environment, stderr=subprocess.PIPE, text=True)
        while push.poll() is None and len([f for f in (tmp_path / "s3").rglob("*") if f.is_file()]) < 20:
            time.sleep(0.05)
        server.kill()
        _, error = push.communicate()
    # DVC finds the dead server when it sends a file, or when it lists the remote.
    expected = {1: "files failed to upload", 255: "Could not connect"}
    assert expected.get(push.returncode, "another status") in error and "Traceback" not in error, (
        push.returncode,
        error,
    )
    before = count_stored_files(tmp_path / "s3")
    with s3_server(tmp_path / "s3") as (url, _):
        use_s3(my_clone, url)
        run_ok(my_clone, "dvc", "push", **S3_KEYS)
        assert "in sync" in run_ok(my_clone, "dvc", "status", "--cloud", **S3_KEYS)
    assert 10 < before < count_stored_files(tmp_path / "s3")


def test_push_to_full_disk_loses_nothing(my_clone: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk), capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with s3_server(disk) as (url, _):
            use_s3(my_clone, url)
            assert_fails(run(my_clone, "dvc", "push", **S3_KEYS), "files failed to upload")
            before = count_stored_files(disk)
            subprocess.run(("mount", "-o", "remount,size=20m", disk), check=True)
            run_ok(my_clone, "dvc", "push", **S3_KEYS)
            assert "in sync" in run_ok(my_clone, "dvc", "status", "--cloud", **S3_KEYS)
        assert before < count_stored_files(disk)
    finally:
        subprocess.run(("umount", disk), check=True)
