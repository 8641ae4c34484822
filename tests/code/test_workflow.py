"""The GitHub workflows: linters find nothing, and the commands of the steps, taken from the YAML, do their work."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, run, run_ok
from support.projects import commit_all
from support.s3 import s3_server

WORKFLOWS = ROOT / ".github/workflows"
HAS_REMOTE = "vars.DVC_REMOTE_URL != ''"
IS_PUSH_WITH_REMOTE = "github.event_name == 'push' && vars.DVC_REMOTE_URL != ''"
GET_IMAGES = "Get the images, from the remote or as the drawn sample"
COMPARE = "Compare with what is committed"
PUSH = "Push to the remote"
SMALL_SAMPLE = {"RENDER_PER_CLASS": "12", "RENDER_SIZE": "48"}


@dataclass(frozen=True)
class Step:
    """A `run:` step of a workflow."""

    name: str
    script: str
    env: dict[str, str]

    def run(self, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script as GitHub runs a step with `shell: bash`."""
        script = folder.parent / "step.sh"
        script.write_text(self.script)
        environment = {"GITHUB_STEP_SUMMARY": str(folder.parent / "summary.md"), **environment, **self.env}
        return run(folder, "bash", "--noprofile", "--norc", "-eo", "pipefail", str(script), **environment)

    def run_ok(self, folder: Path, **environment: str) -> str:
        """Run a script that must succeed, and return what it prints."""
        result = self.run(folder, **environment)
        assert result.returncode == 0, f"{self.name}: {result.stdout}{result.stderr}"
        return result.stdout


def read_jobs(workflow: str) -> dict:
    return yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"]


def read_steps(workflow: str, job: str, context: dict[str, str], *true_conditions: str) -> dict[str, Step]:
    """Return the `run:` steps by name.

    Args:
        workflow: the file name.
        job: the name of the job.
        context: values of GitHub's expressions in `env:`; others are empty.
        true_conditions: the `if:` conditions that hold; steps with other conditions are left out.
    """

    def fill_in(text: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: context.get(match[1], ""), text)

    return {
        step["name"]: Step(step["name"], step["run"], {k: fill_in(v) for k, v in step.get("env", {}).items()})
        for step in read_jobs(workflow)[job]["steps"]
        if "run" in step and step.get("if") in (None, *true_conditions)
    }


@pytest.mark.parametrize(
    "command",
    [
        ("zizmor", "--offline", ".github"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS.glob("*"))),
        ("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"),
    ],
    ids=" ".join,
)
def test_linters_on_the_workflows_find_nothing(command: tuple[str, ...]) -> None:
    run_ok(ROOT, *command)


def test_conditions_of_the_steps_are_those_that_these_tests_know() -> None:
    steps = [
        step for name in ("mlops.yaml", "report.yaml") for job in read_jobs(name).values() for step in job["steps"]
    ]
    assert {step["if"] for step in steps if "if" in step} == {HAS_REMOTE, IS_PUSH_WITH_REMOTE}


def test_permissions_of_a_job_that_runs_code_of_a_pull_request_are_read_only() -> None:
    mlops, report = (yaml.safe_load((WORKFLOWS / name).read_text()) for name in ("mlops.yaml", "report.yaml"))
    assert mlops["permissions"] == report["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in mlops["jobs"].values())
    assert "pull_request_target" not in str(mlops)
    assert not any("uses" in step for job in report["jobs"].values() for step in job["steps"])
    assert mlops["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert mlops["jobs"]["test"]["steps"][-1]["run"] == "bash .ci/run"


def test_push_of_results_that_are_not_those_of_the_lock_is_skipped(tmp_path: Path) -> None:
    """Results that are reproduced only in effect are other files than the committed dvc.lock names."""
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/activate").write_text('dvc() { echo dvc "$@"; }\n')
    (project / "dvc.lock").write_text("committed")
    run_ok(project, "git", "init", "-q")
    commit_all(project, "results")
    push = read_steps("mlops.yaml", "pipeline", {}, IS_PUSH_WITH_REMOTE)[PUSH]
    assert push.run_ok(project) == "dvc push\n"
    (project / "dvc.lock").write_text("new")
    for _ in range(2):
        assert push.run_ok(project).startswith("::warning::The results differ in bytes from the committed dvc.lock")
        run_ok(project, "git", "add", "dvc.lock")  # as DVC's autostage does


def test_steps_of_the_pipeline_come_in_an_order_that_pushes_only_reproduced_results() -> None:
    names = list(read_steps("mlops.yaml", "pipeline", {}, HAS_REMOTE, IS_PUSH_WITH_REMOTE))
    assert names == ["Install", "Use the remote", GET_IMAGES, "Run the pipeline", "Report", COMPARE, PUSH]


@pytest.fixture
def upstream(tmp_path: Path, trained: Path) -> Path:
    """The trained project as a repository on GitHub, with everything that is in Git."""
    folder = tmp_path / "upstream"
    run_ok(tmp_path, "git", "clone", "-q", str(trained), str(folder))
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore", "requirements-freeze.txt"):
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


@pytest.mark.slow
def test_pipeline_without_secrets_draws_the_sample_and_reproduces_the_results(upstream: Path) -> None:
    clone = checkout(upstream)
    artifact_url = "https://example.invalid/7"
    steps = read_steps("mlops.yaml", "pipeline", {"steps.figures.outputs.artifact-url": artifact_url})
    assert list(steps) == ["Install", GET_IMAGES, "Run the pipeline", "Report", COMPARE]
    printed = {
        name: step.run_ok(clone, PIP_NO_INDEX="1", **SMALL_SAMPLE)  # pip only checks that everything is installed
        for name, step in steps.items()
    }
    assert printed[COMPARE].startswith("Reproduced to the byte: ")
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
    assert steps[COMPARE].run_ok(clone).startswith("Reproduced in effect: ")

    metrics.write_text(re.sub(r'"val_acc": [\d.]+', '"val_acc": 0.01', committed[1]))
    result = steps[COMPARE].run(clone)
    assert result.returncode == 1
    assert result.stdout.startswith("Not reproduced: the accuracy differs by more than 0.02")
    assert "dvc.lock, evaluation/metrics.json" in result.stdout
    assert "\n::error::The pipeline does not reproduce the committed results" in result.stdout


@pytest.mark.slow
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
        for name in ("Use the remote", GET_IMAGES, "Run the pipeline", COMPARE, PUSH):
            printed = steps[name].run_ok(clone)
            assert "Drawing the sample" not in printed and "Running stage" not in printed
        assert (clone / "evaluation/plots/confusion_matrix.png").is_file()
        assert run(clone, "git", "grep", "SECRET").returncode == 1
        assert run_ok(clone, "git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_get_images_without_a_remote_does_not_replace_own_images_by_the_sample(upstream: Path) -> None:
    data = upstream / "data/raw.dvc"
    data.write_text(re.sub(r"md5: \w+", f"md5: {'0' * 32}", data.read_text(), count=1))
    commit_all(upstream, "own images")
    steps = read_steps("mlops.yaml", "pipeline", {})
    result = steps[GET_IMAGES].run(checkout(upstream), **SMALL_SAMPLE)
    assert result.returncode == 1
    errors = [line for line in result.stdout.splitlines() if line.startswith("::error::")]
    assert len(errors) == 1 and "set DVC_REMOTE_URL and its secrets" in errors[0]


@pytest.mark.slow
def test_report_of_the_first_commit_compares_it_with_itself(upstream: Path, trained: Path) -> None:
    clone = checkout(upstream)
    for path in ("evaluation", "model"):
        shutil.copytree(trained / path, clone / path, dirs_exist_ok=True)
    shutil.rmtree(clone / ".git")
    run_ok(clone, "git", "init", "-q")
    commit_all(clone, "first")
    read_steps("mlops.yaml", "pipeline", {})["Report"].run_ok(clone)


GH = """\
#!/usr/bin/env bash
# Answers as the GitHub CLI would, and logs its arguments.
printf '%s\\n' "$*" >> calls
case "$*" in
    *pulls*) jq -r "${!#}" ../pulls.json ;;
    */zip) cat ../artifact.zip ;;
    *artifacts*) jq -r "${!#}" ../artifacts.json ;;
esac
"""


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq to replace the GitHub CLI")
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
    ids=["open", "hostile", "superseded", "closed", "no report", "huge"],
)
def test_comment_is_posted_only_to_an_open_pull_request_with_a_report(
    tmp_path: Path, heads: list[str], sizes: list[int], content: str, number: int | None
) -> None:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    pulls = [{"number": i, "head": {"sha": sha}} for i, sha in enumerate(heads, 1)]
    (tmp_path / "pulls.json").write_text(json.dumps(pulls))
    artifacts = [{"id": i, "size_in_bytes": size} for i, size in enumerate(sizes, 1)]
    (tmp_path / "artifacts.json").write_text(json.dumps({"artifacts": artifacts}))
    with zipfile.ZipFile(tmp_path / "artifact.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.md", content)
        archive.writestr("../../evil", "x")
    context = {
        "github.repository": "owner/name",
        "github.event.workflow_run.id": "5",
        "github.event.workflow_run.html_url": "https://example.invalid/5",
        "github.event.workflow_run.head_sha": "this",
        "github.event.workflow_run.head_repository.owner.login": "someone",
        "github.event.workflow_run.head_branch": "$(touch evil)",
    }
    folder = tmp_path / "run"
    folder.mkdir()
    step = read_steps("report.yaml", "comment", context)["Comment"]
    step.run_ok(folder, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    calls = (folder / "calls").read_text()
    assert "head=someone:$(touch evil)" in calls and not list(tmp_path.rglob("evil"))
    posted = re.findall(r"pr comment (\S+) --edit-last --create-if-none --body-file report.md", calls)
    assert posted == ([str(number)] if number else [])
    if number:
        assert f"artifacts/{len(sizes)}/zip" in calls  # the latest
        text = (folder / "report.md").read_text()
        assert len(text) < 65_536 and "@" not in text
        assert text.startswith(content[:5].replace("@", "＠"))
        assert text.endswith("in [this run](https://example.invalid/5).\n")
