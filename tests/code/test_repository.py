"""The repository's own rules: requirements, layout, documentation and checks."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from classifier.config import EvaluateParams, PrepareParams, TrainParams, load_params
from support.commands import ROOT, assert_fails, run, run_ok
from support.imports import SRC, find_closure, top_packages
from support.projects import SAMPLE_PARAMS

FILES = sorted(SRC.rglob("*.py"))
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "ruamel": "ruamel-yaml"}  # import name to distribution
INDIRECT = {"attrs", "keras", "prometheus-client", "starlette", "uvicorn"}  # required by TensorFlow and BentoML
DASK = {"distributed", "cloudpickle"}  # optional; the second comes with the first
OPTIONAL = {"pi-heif"}


def read_pins(name: str) -> dict[str, str]:
    """Return the pinned version of each distribution in a requirements file."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(distribution): version for distribution, version in pins}


@pytest.mark.parametrize(
    ("direct", "compiled"),
    [("requirements.txt", "requirements-freeze.txt"), ("tests/requirements.in", "tests/requirements.txt")],
)
def test_compiled_requirements_satisfy_direct_ones(direct: str, compiled: str) -> None:
    pins = read_pins(compiled)
    lines = [line for line in (ROOT / direct).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for requirement in map(Requirement, lines):
        name = canonicalize_name(requirement.name)
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), f"{requirement} is not an exact pin"
        assert name in pins and pins[name] in requirement.specifier, f"{requirement} is not in {compiled}"
        for extra in requirement.extras:
            assert f"{name}-{extra}" in pins, f"{name}[{extra}] is not in {compiled}"


@pytest.mark.parametrize(
    "compiled", ["requirements-freeze.txt", "tests/requirements.txt", "src/classifier/serving/requirements.txt"]
)
def test_compiled_requirements_have_hashes_and_the_frozen_versions(compiled: str) -> None:
    for entry in re.split(r"\n(?=[a-zA-Z0-9])", (ROOT / compiled).read_text())[1:]:
        assert "--hash=sha256:" in entry, entry
    frozen = read_pins("requirements-freeze.txt")
    assert all(frozen.get(name, version) == version for name, version in read_pins(compiled).items())


def third_party(files: set[Path]) -> set[str]:
    """Return the distributions that files import."""
    names = set().union(*map(top_packages, files)) - set(sys.stdlib_module_names) - {"utils", "classifier"}
    return {DISTRIBUTIONS.get(name, canonicalize_name(name)) for name in names}


def test_requirements_are_what_the_source_imports() -> None:
    imported, required = third_party(set(FILES)), set(read_pins("requirements.txt"))
    assert imported - INDIRECT - DASK - OPTIONAL <= required
    assert required - imported == {"dvc"}  # users type it
    assert {"distributed", *OPTIONAL} <= read_pins("tests/requirements.txt").keys()


def test_service_requirements_are_what_the_service_imports() -> None:
    lines = (SRC / "classifier/serving/requirements.in").read_text().splitlines()
    required = {Requirement(line).name for line in lines if not line.startswith("#")}
    assert third_party(find_closure(SRC / "serve.py")) - INDIRECT - DASK - OPTIONAL == required - OPTIONAL


def list_files(*patterns: str) -> list[str]:
    """Return the files that Git tracks or would track."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns)
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [file for file in files if (ROOT / file).exists()]


def test_no_tracked_file_is_a_link() -> None:
    modes = subprocess.run(("git", "ls-files", "--stage"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not [line for line in modes.splitlines() if not line.startswith("100")]


def test_top_level_contains_only_the_agreed_files() -> None:
    assert {path.split("/")[0] for path in list_files() if not path.startswith(".")} <= {
        "src", "data", "model", "evaluation", "tests", "params.yaml", "dvc.yaml", "dvc.lock",
        "requirements.txt", "requirements-freeze.txt", "README.md",
    }  # fmt: skip


def test_python_files_have_at_most_200_lines() -> None:
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in list_files("*.py")}
    assert {file: length for file, length in lengths.items() if length > 200} == {}


def test_git_keeps_lf_line_ends_and_the_bytes_that_dvc_hashes_with_every_setting() -> None:
    lines = [line for line in run_ok(ROOT, "git", "ls-files", "--eol").splitlines() if "attr/-text" not in line]
    assert not [line for line in lines if "eol=lf" not in line or "crlf" in line or "mixed" in line]


def test_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200
    assert not (ROOT / ".github/README.md").exists()  # GitHub would show it instead


def test_readme_table_of_parameters_has_every_key_with_the_value_of_the_sample() -> None:
    """Of this project, not of params.yaml, which belongs to the user."""
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| .* \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    documented = {(section, key): yaml.safe_load(value) for section, key, value in rows}
    expected = {
        (name, key): value
        for name, section in (("prepare", PrepareParams), ("train", TrainParams), ("evaluate", EvaluateParams))
        for key, value in load_params(section, SAMPLE_PARAMS).model_dump(mode="json").items()
    }
    assert documented == expected


def read_markdown(path: Path) -> str:
    """Return a Markdown file without its code blocks."""
    return re.sub(r"(?s)```.*?```", "", path.read_text())


def list_anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.+)$", read_markdown(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", list_files("*.md"))
def test_markdown_links_lead_to_files_and_headings(file: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", read_markdown(ROOT / file))
    for link in map("".join, links):
        target, _, anchor = link.partition("#")
        if not re.match(r"https?:|\.\./\.\./actions/", target):
            path = (ROOT / file).parent / target if target else ROOT / file
            assert path.exists(), link
            assert not anchor or anchor in list_anchors(path), link


@pytest.mark.slow
def test_checks_on_this_repository_pass() -> None:
    run_ok(ROOT, "bash", ".ci/check", VIRTUAL_ENV=sys.prefix)
    run_ok(ROOT, "pre-commit", "validate-config")


def test_ci_setup_with_an_unsupported_environment_says_to_remove_it(tmp_path: Path) -> None:
    for folder in (".ci", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci/setup", tmp_path / ".ci")
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/bin/sh\nif [ "$1" = -V ]; then echo Python 3.9.1; fi\nexit 1\n')
    python.chmod(0o755)
    result = run(tmp_path, "bash", ".ci/setup")
    assert_fails(result, "setup: .venv has Python 3.9.1, which is not supported: remove .venv, and run this again.")


def test_ci_test_without_pytest_says_how_to_install_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    result = run(ROOT, "bash", ".ci/test", VIRTUAL_ENV=str(tmp_path), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert_fails(result, "test: pytest is missing; run: bash .ci/setup requirements-freeze.txt tests/requirements.txt")
