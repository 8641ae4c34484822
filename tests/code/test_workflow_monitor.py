"""The workflow that detects drift; a stand-in replaces the GitHub CLI."""

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT
from support.logs import MODEL, write_log, write_reference
from support.workflows import HAS_DRIFT, WORKFLOWS, read_jobs, read_steps

GH = """\
#!/usr/bin/env bash
# Answers as the GitHub CLI would, and logs its arguments.
printf '%s\\n' "$*" >> calls
case "$*" in
    "issue list --label drift --state open "*) cat ../number ;;
esac
"""
CREATE = [
    "label create drift --description Predictions differ from those for held-out images --force",
    "issue create --title Drift in the predictions --label drift --body-file report.md",
]
YESTERDAY = datetime.now().astimezone().replace(tzinfo=None) - timedelta(days=1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with an environment, and with the reference of a model."""
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/activate").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    (project / "src").symlink_to(ROOT / "src")
    write_reference(project / "evaluation")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    return project


def run_steps(project: Path, open_issue: str = "") -> list[str]:
    """Run the steps after the installation as GitHub does, and return the calls of the GitHub CLI."""
    (project.parent / "number").write_text(open_issue)
    context = {"vars.PREDICTION_LOG_URL": str(project.parent / "log"), "github.run_id": "7"}
    steps = read_steps("monitor.yaml", "drift", context, HAS_DRIFT)
    output = project.parent / "output"
    environment = {"PATH": f"{project.parent}{os.pathsep}{os.environ['PATH']}", "GITHUB_OUTPUT": str(output)}
    steps["Get the log"].run_ok(project, **environment)
    steps["Detect drift"].run_ok(project, **environment)
    assert (project.parent / "summary.md").read_text() == (project / "report.md").read_text()
    if output.read_text() == "status=1\n":
        steps["Open or update the issue"].run_ok(project, **environment)
    return (project / "calls").read_text().splitlines()[1:] if (project / "calls").exists() else []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("brightness", "open_issue", "calls"),
    [(0.5, "", []), (0.25, "", CREATE), (0.25, "3\n", ["issue comment 3 --body-file report.md"])],
    ids=["no drift", "drift", "drift with an open issue"],
)
def test_issue_is_opened_or_updated_if_there_is_drift(
    project: Path, brightness: float, open_issue: str, calls: list[str]
) -> None:
    write_log(project.parent / "log", 120, YESTERDAY, brightness=brightness)
    write_log(project.parent / "log", 120, YESTERDAY - timedelta(days=9), name="old", brightness=0.9)
    assert run_steps(project, open_issue) == calls
    report = (project / "report.md").read_text()
    assert report.startswith("### Drift: brightness\n" if calls else "### No drift\n") and MODEL in report
    assert ("[This run](//actions/runs/7) wrote the report" in report) == bool(calls)


@pytest.mark.slow
def test_step_fails_without_an_issue_if_the_log_is_none(project: Path) -> None:
    (project / "log").mkdir()
    result = read_steps("monitor.yaml", "drift", {})["Detect drift"].run(
        project, GITHUB_OUTPUT=str(project.parent / "output")
    )
    assert result.returncode == 1 and "log contains no prediction log" in result.stderr
    assert not (project.parent / "output").exists()


def test_workflow_does_nothing_without_a_log_and_writes_only_issues() -> None:
    jobs = read_jobs("monitor.yaml")
    conditions = {name: job["if"] for name, job in jobs.items()}
    assert conditions == {"skip": "vars.PREDICTION_LOG_URL == ''", "drift": "vars.PREDICTION_LOG_URL != ''"}
    assert jobs["drift"]["permissions"] == {"contents": "read", "issues": "write"}
    workflow = yaml.safe_load((WORKFLOWS / "monitor.yaml").read_text())
    assert workflow["permissions"] == {} and "pull_request" not in str(workflow)
