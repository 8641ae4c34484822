"""The pipeline job of the GitHub workflow: its commands, taken from the YAML, do their work."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from support.commands import ROOT, run, run_ok
from support.projects import commit_all, copy_dvc_settings
from support.s3 import s3_server
from support.workflows import CHECK, GET_IMAGES, HAS_REMOTE, IS_PUSH_WITH_REMOTE, PUSH, TEST, read_steps

pytestmark = pytest.mark.slow

SMALL_SAMPLE = {"RENDER_PER_CLASS": "12", "RENDER_SIZE": "48"}


@pytest.fixture
def upstream(tmp_path: Path, trained: Path) -> Path:
    """The trained project as a repository on GitHub, with everything that is in Git."""
    folder = tmp_path / "upstream"
    run_ok(tmp_path, "git", "clone", "-q", str(trained), str(folder))
    for name in (".ci", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    copy_dvc_settings(folder)
    for name in (".dvc/.gitignore", ".gitignore", ".pytest.ini", "requirements-freeze.txt"):
        shutil.copy(ROOT / name, folder / name)
    commit_all(folder, "workflow")
    return folder


def checkout(upstream: Path) -> Path:
    """Clone as actions/checkout does. The environment exists already, because installing it takes minutes."""
    clone = upstream.parent / "clone"
    run_ok(upstream, "git", "clone", "-q", "--depth=2", f"file://{upstream}", str(clone))
    (clone / ".venv/bin").mkdir(parents=True)
    python = clone / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (clone / ".venv/bin/activate").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    return clone


def test_pipeline_without_secrets_renders_the_sample_and_reproduces_the_results(upstream: Path) -> None:
    clone = checkout(upstream)
    artifact_url = "https://example.invalid/7"
    steps = read_steps("mlops.yaml", "pipeline", {"steps.figures.outputs.artifact-url": artifact_url})
    assert list(steps) == ["Install", GET_IMAGES, "Run the pipeline", "Report", TEST, CHECK]
    printed = {
        name: step.run_ok(clone, PIP_NO_INDEX="1", **SMALL_SAMPLE)  # pip only checks that everything is installed
        for name, step in steps.items()
    }
    assert printed[CHECK].startswith("Reproduced to the byte: ")
    report = (clone / "report.md").read_text()
    assert re.match(r"🟢 \*\*Reproduced to the byte:\*\* .*\n\n### Same accuracy as ", report)
    assert report.endswith(f"\n[Figures and predictions]({artifact_url})\n")
    assert (clone.parent / "summary.md").read_text() == report

    # Other bytes with the same quality, as another processor may give: no error.
    lock, metrics = clone / "dvc.lock", clone / "evaluation/metrics.json"
    committed = lock.read_text(), metrics.read_text()
    lock.write_text(re.sub(r"(?m)^( +)size: ", r"\1size: 1", committed[0]))
    metrics.write_text(re.sub(r'"val_loss": [\d.]+', '"val_loss": 0.5', committed[1]))
    run_ok(clone, "git", "add", "dvc.lock")  # as DVC's autostage does
    assert steps[CHECK].run_ok(clone).startswith("Reproduced in effect: ")

    metrics.write_text(re.sub(r'"val_acc": [\d.]+', '"val_acc": 0.01', committed[1]))
    result = steps[CHECK].run(clone)
    assert result.returncode == 1
    assert result.stdout.startswith("::error::Not reproduced: the accuracy differs by more than 0.02")
    assert "dvc.lock, evaluation/metrics.json" in result.stdout

    metrics.write_text(committed[1])
    params = clone / "params.yaml"
    params.write_text(f"{params.read_text()}evaluate: {{min_acc: 1, max_drop: 0.5}}\n")
    result = steps[CHECK].run(clone)
    assert result.returncode == 1
    gates = [line for line in result.stdout.splitlines() if "Quality gate" in line]
    assert re.match(r"::error::Quality gate failed: val_acc is .*; evaluate.min_acc is 1\.", gates[0])
    assert gates[1].startswith("Quality gate passed: val_acc changed by +0 ")

    # Tests of outdated results would fail with odd messages, or not at all.
    lock.write_text(committed[0])
    shutil.rmtree(clone / "data/raw/Mars")
    result = steps[TEST].run(clone)
    assert result.returncode == 1 and "\nrun `dvc repro` again; changed since it ran: data/raw\n" in result.stdout
    assert " passed" not in result.stdout and "Traceback" not in result.stdout


def test_pipeline_with_a_remote_pulls_and_pushes(upstream: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / ".dvc/cache", upstream / ".dvc/cache")
    with s3_server(tmp_path / "s3") as (url, _):
        context = {
            "vars.DVC_REMOTE_URL": "s3://bucket/models",
            "vars.DVC_REMOTE_ENDPOINTURL": url,
            "secrets.AWS_ACCESS_KEY_ID": "KEY",
            "secrets.AWS_SECRET_ACCESS_KEY": "SECRET",
        }
        steps = read_steps("mlops.yaml", "pipeline", context, HAS_REMOTE, IS_PUSH_WITH_REMOTE)
        activate = upstream / ".venv/bin/activate"
        activate.parent.mkdir(parents=True)
        activate.write_text("")
        for name in ("Use the remote", PUSH):
            steps[name].run_ok(upstream)
        clone = checkout(upstream)
        for name in ("Use the remote", GET_IMAGES, "Run the pipeline", CHECK, PUSH):
            printed = steps[name].run_ok(clone)
            assert "Rendering the sample" not in printed and "Running stage" not in printed
        assert (clone / "evaluation/plots/confusion_matrix.png").is_file()
        weekly = read_steps("mlops.yaml", "pipeline", context | {"github.event_name": "schedule"})["Run the pipeline"]
        assert weekly.run_ok(clone).count("Running stage") == 3
        assert steps[CHECK].run_ok(clone).startswith("Reproduced to the byte: ")
        assert run(clone, "git", "grep", "SECRET", "--", ":!tests").returncode == 1
        assert run_ok(clone, "git", "status", "--porcelain") == ""


def test_get_images_without_a_remote_does_not_replace_own_images_by_the_sample(upstream: Path) -> None:
    data = upstream / "data/raw.dvc"
    data.write_text(re.sub(r"md5: \w+", f"md5: {'0' * 32}", data.read_text(), count=1))
    commit_all(upstream, "own images")
    steps = read_steps("mlops.yaml", "pipeline", {})
    result = steps[GET_IMAGES].run(checkout(upstream), **SMALL_SAMPLE)
    assert result.returncode == 1
    errors = [line for line in result.stdout.splitlines() if line.startswith("::error::")]
    assert len(errors) == 1 and "set DVC_REMOTE_URL and its secrets" in errors[0]


def test_report_of_the_first_commit_compares_it_with_itself(upstream: Path, trained: Path) -> None:
    clone = checkout(upstream)
    for path in ("evaluation", "model"):
        shutil.copytree(trained / path, clone / path, dirs_exist_ok=True)
    shutil.rmtree(clone / ".git")
    run_ok(clone, "git", "init", "-q")
    commit_all(clone, "first")
    read_steps("mlops.yaml", "pipeline", {})["Report"].run_ok(clone)
