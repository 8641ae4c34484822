"""The workflows: sound, and their steps, taken out of the YAML, do the job."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run, s3_server

WORKFLOWS = ROOT / ".github/workflows"
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.invalid")


@pytest.mark.parametrize(
    "command",
    [
        ("zizmor", "--offline", ".github"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS.glob("*"))),
        ("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"),
    ],
    ids=" ".join,
)
def test_linters_find_nothing(command: tuple[str, ...]) -> None:
    result = run(ROOT, *command)
    assert result.returncode == 0, result.stdout + result.stderr


def steps(workflow: str, job: str, given: dict[str, str]) -> list[tuple[str, str, dict[str, str]]]:
    """Name, commands and environment of the `run:` steps whose condition holds; `given` has GitHub's expressions."""

    def value(expression: str) -> str:
        return given.get(expression, "")

    chosen = []
    for step in yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"][job]["steps"]:
        condition = re.sub(r"[a-z_]+\.\w+", lambda name: repr(value(name[0])), step.get("if", "True"))
        if "run" in step and eval(condition.replace("&&", "and")):
            env = {
                k: re.sub(r"\$\{\{ (.*?) \}\}", lambda e: value(e[1]), str(v)) for k, v in step.get("env", {}).items()
            }
            chosen.append((step["name"], step["run"], env))
    return chosen


def run_step(clone: Path, step: tuple[str, str, dict[str, str]], **environment: str) -> subprocess.CompletedProcess:
    """As GitHub runs a step of `shell: bash`."""
    script = clone.parent / "step.sh"
    script.write_text(step[1])
    command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", str(script))
    return run(clone, *command, **{"GITHUB_STEP_SUMMARY": str(clone.parent / "summary.md"), **environment, **step[2]})


@pytest.fixture
def upstream(tmp_path: Path, trained: Path) -> Path:
    """The trained project as a repository on GitHub: all that is in Git, and a sample that is drawn small."""
    folder = tmp_path / "upstream"
    subprocess.run(("git", "clone", "-q", trained, folder), check=True)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore", "requirements-freeze.txt"):
        shutil.copy(ROOT / name, folder / name)
    drawn = (folder / "src/render.py").read_text()
    for full, small in (('"--per-class", "N", 146', '"--per-class", "N", 12'), ('"PIXELS", 128', '"PIXELS", 48')):
        assert full in drawn
        drawn = drawn.replace(full, small)
    (folder / "src/render.py").write_text(drawn)
    commit(folder, "workflow")
    return folder


def commit(folder: Path, message: str) -> None:
    for command in (("add", "-A"), ("commit", "-qm", message)):
        subprocess.run((*GIT, *command), cwd=folder, check=True)


def checkout(upstream: Path) -> Path:
    """A clone as actions/checkout makes it, with an environment that is there already: installing takes minutes."""
    clone = upstream.parent / "clone"
    subprocess.run(("git", "clone", "-q", "--depth=2", f"file://{upstream}", clone), check=True)
    (clone / ".venv/bin").mkdir(parents=True)
    python = clone / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (clone / ".venv/bin/activate").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    return clone


def test_without_any_secret_the_steps_do_the_whole_job(upstream: Path) -> None:
    clone = checkout(upstream)
    given = {"github.event_name": "pull_request", "steps.figures.outputs.artifact-url": "https://example.invalid/7"}
    todo = steps("mlops.yaml", "pipeline", given)
    assert [name for name, _, _ in todo] == [
        "Install", "Get the pictures, from the remote or as the drawn sample",
        "Run the pipeline", "Report", "Compare with what is committed",
    ]  # fmt: skip
    for step in todo:
        result = run_step(clone, step, PIP_NO_INDEX="1")  # pip only checks that all is there
        assert result.returncode == 0, f"{step[0]}: {result.stdout}{result.stderr}"
    report = (clone / "report.md").read_text()
    assert report.startswith("### Same accuracy as ")
    assert report.endswith("\n[Figures and predictions](https://example.invalid/7)\n")
    assert (clone.parent / "summary.md").read_text() == report

    compare = todo[-1]
    (clone / "dvc.lock").write_text((clone / "dvc.lock").read_text().replace("size: ", "size: 1"))
    subprocess.run(("git", "add", "dvc.lock"), cwd=clone, check=True)  # as DVC's autostage does
    result = run_step(clone, compare)
    assert result.returncode == 1
    assert "dvc.lock" in result.stdout and "::error::This commit gives other results" in result.stdout


def test_with_a_remote_it_pulls_and_pushes(upstream: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / ".dvc/cache", upstream / ".dvc/cache")
    with s3_server(tmp_path / "s3") as (url, _):
        given = {
            "github.event_name": "push",
            "vars.DVC_REMOTE_URL": "s3://bucket/models",
            "vars.DVC_REMOTE_ENDPOINTURL": url,
            "secrets.AWS_ACCESS_KEY_ID": "KEY",
            "secrets.AWS_SECRET_ACCESS_KEY": "SECRET",
        }
        todo = {step[0]: step for step in steps("mlops.yaml", "pipeline", given)}
        use, push = todo["Use the remote"], todo["Push to the remote"]
        activate = upstream / ".venv/bin/activate"
        activate.parent.mkdir(parents=True)
        activate.write_text("")
        for step in (use, push):
            assert run_step(upstream, step).returncode == 0
        clone = checkout(upstream)
        for name in (use[0], "Get the pictures, from the remote or as the drawn sample", "Run the pipeline", push[0]):
            result = run_step(clone, todo[name])
            assert result.returncode == 0, f"{name}: {result.stdout}{result.stderr}"
            assert "drawing the sample" not in result.stdout and "Running stage" not in result.stdout
        assert (clone / "evaluation/plots/confusion_matrix.png").is_file()
        tracked = subprocess.run(("git", "grep", "SECRET"), cwd=clone, capture_output=True, text=True)
        assert tracked.returncode == 1 and run(clone, "git", "status", "--porcelain").stdout == ""


def test_own_pictures_without_a_remote_are_not_replaced_by_the_sample(upstream: Path) -> None:
    data = upstream / "data/raw.dvc"
    data.write_text(re.sub(r"md5: \w+", f"md5: {'0' * 32}", data.read_text(), count=1))
    commit(upstream, "own pictures")
    todo = {step[0]: step for step in steps("mlops.yaml", "pipeline", {})}
    result = run_step(checkout(upstream), todo["Get the pictures, from the remote or as the drawn sample"])
    assert result.returncode == 1
    errors = [line for line in result.stdout.splitlines() if line.startswith("::error::")]
    assert len(errors) == 1 and "set DVC_REMOTE_URL and its secrets" in errors[0]


def test_the_first_commit_is_compared_with_itself(upstream: Path, trained: Path) -> None:
    clone = checkout(upstream)
    for path in ("evaluation", "model"):
        shutil.copytree(trained / path, clone / path, dirs_exist_ok=True)
    shutil.rmtree(clone / ".git")
    subprocess.run(("git", "init", "-q"), cwd=clone, check=True)
    commit(clone, "first")
    todo = {step[0]: step for step in steps("mlops.yaml", "pipeline", {})}
    result = run_step(clone, todo["Report"])
    assert result.returncode == 0, result.stderr


GH = """\
#!/usr/bin/env bash
# Answers as the GitHub CLI would, and notes what it is asked.
printf '%s\\n' "$*" >> calls
case "$*" in
    *pulls*) jq -r "${!#}" ../pulls.json ;;
    */zip) cat ../artifact.zip ;;
    *artifacts*) jq -r "${!#}" ../artifacts.json ;;
esac
"""


@pytest.mark.skipif(not shutil.which("jq"), reason="without jq nothing here can stand in for the GitHub CLI")
@pytest.mark.parametrize(
    ("heads", "sizes", "content", "number"),
    [
        (["other", "this"], [900, 900], "### Better\n", 2),
        (["this"], [900], "@octocat " * 100_000 + "\N{EARTH GLOBE EUROPE-AFRICA}", 1),
        (["moved on"], [900], "superseded", None),
        ([], [900], "closed", None),
        (["this"], [], "no report", None),
        (["this"], [10**9], "huge", None),
    ],
    ids=["posted", "hostile", "superseded", "closed", "no report", "huge"],
)
def test_posting(tmp_path: Path, heads: list[str], sizes: list[int], content: str, number: int | None) -> None:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    pulls = [{"number": i, "head": {"sha": sha}} for i, sha in enumerate(heads, 1)]
    (tmp_path / "pulls.json").write_text(json.dumps(pulls))
    artifacts = [{"id": i, "size_in_bytes": size} for i, size in enumerate(sizes, 1)]
    (tmp_path / "artifacts.json").write_text(json.dumps({"artifacts": artifacts}))
    with zipfile.ZipFile(tmp_path / "artifact.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.md", content)
        archive.writestr("../../evil", "x")
    given = {
        "github.repository": "owner/name",
        "github.event.workflow_run.id": "5",
        "github.event.workflow_run.html_url": "https://example.invalid/5",
        "github.event.workflow_run.head_sha": "this",
        "github.event.workflow_run.head_repository.owner.login": "someone",
        "github.event.workflow_run.head_branch": "$(touch evil)",
    }
    (step,) = steps("report.yaml", "comment", given)
    folder = tmp_path / "run"
    folder.mkdir()
    result = run_step(folder, step, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    calls = (folder / "calls").read_text()
    assert "head=someone:$(touch evil)" in calls and not list(tmp_path.rglob("evil"))
    assert re.findall(r"pr comment (\S+) --edit-last --create-if-none --body-file report.md", calls) == (
        [str(number)] if number else []
    )
    if number:
        assert f"artifacts/{len(sizes)}/zip" in calls  # the latest
        text = (folder / "report.md").read_text()
        assert len(text) < 65_536 and "@" not in text
        assert text.startswith(content[:5].replace("@", "＠"))
        assert text.endswith("in [this run](https://example.invalid/5).\n")


def test_who_may_do_what() -> None:
    """What runs a pull request's code may write nothing; what may write checks nothing out."""
    mlops, report = (yaml.safe_load((WORKFLOWS / name).read_text()) for name in ("mlops.yaml", "report.yaml"))
    assert mlops["permissions"] == report["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in mlops["jobs"].values())
    assert "pull_request_target" not in str(mlops)
    assert not any("uses" in step for job in report["jobs"].values() for step in job["steps"])
    assert mlops["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert mlops["jobs"]["test"]["steps"][-1]["run"] == "bash .ci/run"
