"""The GitHub workflows: linters find nothing, and jobs have no more rights than they need."""

from pathlib import Path

import pytest
import yaml

from support.commands import ROOT, run_ok
from support.projects import commit_all
from support.workflows import (
    CHECK,
    GET_IMAGES,
    HAS_DRIFT,
    HAS_REMOTE,
    IS_PUSH_WITH_REMOTE,
    PUSH,
    TEST,
    WORKFLOWS,
    read_jobs,
    read_steps,
)


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
        step
        for name in ("mlops.yaml", "report.yaml", "monitor.yaml")
        for job in read_jobs(name).values()
        for step in job["steps"]
    ]
    assert {step["if"] for step in steps if "if" in step} == {HAS_REMOTE, IS_PUSH_WITH_REMOTE, HAS_DRIFT}


def test_permissions_of_a_job_that_runs_code_of_a_pull_request_are_read_only() -> None:
    mlops, report = (yaml.safe_load((WORKFLOWS / name).read_text()) for name in ("mlops.yaml", "report.yaml"))
    assert mlops["permissions"] == report["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in mlops["jobs"].values())
    assert "pull_request_target" not in str(mlops)
    assert not any("uses" in step for job in report["jobs"].values() for step in job["steps"])
    assert mlops["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert mlops["jobs"]["test"]["steps"][-1]["run"] == "bash .ci/run"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh checkout with an environment in which `dvc` only prints its arguments."""
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/activate").write_text('dvc() { echo dvc "$@"; }\n')
    return project


def test_use_the_remote_in_a_fresh_checkout_writes_the_key_for_google(project: Path) -> None:
    context = {"secrets.GOOGLE_SERVICE_ACCOUNT_KEY": '{"type": "service_account"}'}
    printed = read_steps("mlops.yaml", "pipeline", context, HAS_REMOTE)["Use the remote"].run_ok(project)
    key = project / ".dvc/tmp/google.json"
    assert printed == f"dvc remote modify --local storage credentialpath {key}\n"
    assert key.read_text() == '{"type": "service_account"}'


def test_push_of_results_that_are_not_those_of_the_lock_is_skipped(project: Path) -> None:
    """Results that are reproduced only in effect are other files than the committed dvc.lock names."""
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
    assert names == ["Install", "Use the remote", GET_IMAGES, "Run the pipeline", "Report", TEST, CHECK, PUSH]
