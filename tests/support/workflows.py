"""The steps of the GitHub workflows, to run as GitHub does."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from support.commands import ROOT, run

WORKFLOWS = ROOT / ".github/workflows"
HAS_REMOTE = "vars.DVC_REMOTE_URL != ''"
IS_PUSH_WITH_REMOTE = "github.event_name == 'push' && vars.DVC_REMOTE_URL != ''"
HAS_DRIFT = "steps.drift.outputs.status == '1'"
GET_IMAGES = "Get the images, from the remote, or render the sample"
TEST = "Test the images and the model"
CHECK = "Check reproducibility and quality gates"
PUSH = "Push to the remote"


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
    """Return the jobs of a workflow."""
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
