"""The workflow that posts the report on a pull request; a stand-in replaces the GitHub CLI."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from support.workflows import read_steps

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
