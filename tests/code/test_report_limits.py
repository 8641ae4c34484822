"""The pull-request report with hostile names, and within the limits of GitHub."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from classifier.reporting.sections import params_section
from classifier.reporting.snapshot import Snapshot
from support.reports import BEFORE, commit_results, make_snapshot, write_results

MakeReport = Callable[..., str]

HOSTILE_NAMES = [
    "@octocat",
    "<img src=x onerror=alert(1)>",
    "a|b|c",
    "a` [x](http://evil.example) **bold** #1 `b",
    "![x](http://evil.example/x.png)",
    "</details></summary>",
    "---\n\n# line\r\n```mermaid",
    "\\|\\`\u202e",
    " ",
    "$x$ --> http://evil.example octocat/hello#1 " + "9" * 300,
]


def test_report_with_hostile_names_shows_them_as_text(tmp_path: Path, make_report: MakeReport) -> None:
    commit_results(tmp_path, BEFORE | {f"{name}/1.jpg": (name, "Mars") for name in HOSTILE_NAMES})
    snapshot = make_snapshot(BEFORE | {f"{name}/1.jpg": (name, name) for name in HOSTILE_NAMES})
    write_results(tmp_path, snapshot)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": {name: name for name in HOSTILE_NAMES}}))
    text = make_report()
    tokens = walk(MarkdownIt("commonmark").enable("table").parse(text))
    code_spans = [token.content for token in tokens if token.type == "code_inline"]
    assert "@octocat" in code_spans and "a¦b¦c" in code_spans and "train.@octocat" in code_spans
    assert any(span.startswith("params.yaml: train.![x](http") for span in code_spans)  # of the verdict
    for token in tokens:
        assert token.type not in ("link_open", "image", "html_inline", "code_block"), token
        assert token.type != "html_block" or token.content.strip().startswith(("<details><summary>", "</details>"))
        if token.type in ("text", "html_block", "fence"):
            for part in ("@", "evil", "octocat", "<img", "alert", "9999"):
                assert part not in token.content, token
    for table in text.split("\n\n"):
        if table.startswith("| "):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table


def walk(tokens: list) -> list:
    return [inner for token in tokens for inner in (token, *walk(token.children or []))]


@pytest.mark.parametrize(("letter", "is_cut"), [("x", False), ("🌍", True)])
def test_report_with_a_thousand_classes_fits_into_a_comment(
    tmp_path: Path, make_report: MakeReport, letter: str, is_cut: bool
) -> None:
    names = [f"{i:04d}".ljust(50, letter) for i in range(1000)]
    commit_results(
        tmp_path, {f"{name}/{i}.jpg": (name, names[(n + i) % 1000]) for n, name in enumerate(names) for i in range(3)}
    )
    rng = random.Random(7)
    new = {f"{name}/{i}.jpg": (name, rng.choice((name, *names))) for name in names for i in range(3)}
    write_results(tmp_path, make_snapshot(new, lr=1))
    text = make_report()
    assert 30_000 < len(text.encode()) < 65_000
    assert "\n\n### Worse than BASE: 0." in text
    assert "more.\n\n</details>" in text
    assert ("*This section is left out" in text) == is_cut


def test_params_section_with_long_values_that_differ_at_the_end_shows_them() -> None:
    base, current = (Snapshot("now", params={"train.note": "x" * 100 + end}) for end in "ab")
    assert params_section(base, current).count("xxx…`") == 2
