"""What is declared is what is used: stages' dependencies, imports, requirements, the top level."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = ("prepare", "train", "evaluate")
NAMES = {"PIL": "pillow", "yaml": "pyyaml"}
COME_ALONG = {"keras", "starlette"}  # with TensorFlow and BentoML, which build on them
UTILS = {file.stem for file in (ROOT / "src" / "utils").glob("*.py")}


def imports(file: Path) -> set[str]:
    """Names of all modules that a file imports anywhere; those of this project as `utils.name`."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.module == "utils":
                names |= {f"utils.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def project_files(file: Path) -> set[str]:
    """The file and all of this project that it imports, directly or through others."""
    found = {str(file.relative_to(ROOT))}
    for name in imports(file):
        if name.startswith("utils."):
            found |= project_files(ROOT / "src" / f"{name.replace('.', '/')}.py")
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_scripts_that_it_imports(stage: str) -> None:
    declared = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.endswith(".py")}
    assert declared == project_files(ROOT / "src" / f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_parameters_that_it_reads(stage: str) -> None:
    read = {
        node.args[0].attr.lower()
        for node in ast.walk(ast.parse((ROOT / "src" / f"{stage}.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load"
    }
    assert set(PIPELINE["stages"][stage].get("params", [])) == read


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_data_of_its_command(stage: str) -> None:
    entry = PIPELINE["stages"][stage]
    outs = {
        next(iter(out)) if isinstance(out, dict) else out for out in entry.get("outs", []) + entry.get("metrics", [])
    }
    declared = outs | set(entry["deps"])
    for word in entry["cmd"].split()[1:]:
        assert any(path == word or path.startswith(f"{word}/") for path in declared), word


def test_who_may_import_whom() -> None:
    heavy = {"tensorflow", "keras", "bentoml"}
    allowed = {"train", "evaluate", "serve", "predict", "seed", "package", "inference"}
    for file in (ROOT / "src").rglob("*.py"):
        names = imports(file)
        tops = {name.split(".")[0] for name in names}
        assert file.stem in allowed or not tops & heavy, file
        assert not tops & ({*STAGES, "render"} - {file.stem}), f"{file} imports a stage"
        assert {n.split(".")[1] for n in names if n.startswith("utils.")} <= UTILS
    assert {name.split(".")[0] for name in imports(ROOT / "src/utils/images.py")} - {
        "io", "os", "warnings", "collections", "typing",
    } == {"numpy", "PIL"}  # fmt: skip


def test_tensorflow_stays_in_seed_and_pickle_in_bentoml() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        text = file.read_text()
        assert file.stem == "seed" or not re.search(r"\btf\.", text), file
        assert not re.search(r"\bimport pickle|allow_pickle=True", text), file
        assert file.stem == "workers" or "import cloudpickle" not in text, file  # how Dask sends functions


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("asked", "frozen"),
    [("requirements.txt", "requirements-freeze.txt"), ("tests/requirements.in", "tests/requirements.txt")],
)
def test_the_frozen_requirements_satisfy_what_is_asked(asked: str, frozen: str) -> None:
    have, text = pins(frozen), (ROOT / frozen).read_text()
    lines = [line for line in (ROOT / asked).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for line in map(Requirement, lines):
        assert re.fullmatch(r"==[^,*]+", str(line.specifier)), f"{line} is no exact pin"
        assert have.get(line.name) in line.specifier if line.name in have else False, f"{line} is not in {frozen}"
        for extra in line.extras:
            assert f"{line.name}-{extra}" in have, f"{line.name}[{extra}] is not in {frozen}"
    for entry in re.split(r"\n(?=[a-z0-9A-Z])", text)[1:]:
        assert "--hash=sha256:" in entry, entry


def test_imports_are_required_and_requirements_are_used() -> None:
    used = {
        NAMES.get(top, top)
        for file in (ROOT / "src").rglob("*.py")
        for top in (name.split(".")[0] for name in imports(file))
        if top not in sys.stdlib_module_names and top != "utils"
    }
    required = set(pins("requirements.txt"))
    optional = {"distributed", "cloudpickle"}  # for a cluster; the second comes with the first
    assert used - COME_ALONG - optional <= required
    assert required - used == {"dvc"}  # what the user types
    assert optional - {"cloudpickle"} <= set(pins("tests/requirements.txt"))


def test_a_bento_has_all_that_the_service_imports() -> None:
    files = project_files(ROOT / "src/serve.py")
    kept = set(re.findall("^!(.+)", (ROOT / ".bentoignore").read_text(), re.MULTILINE))
    assert kept == files | {"src/serve.html"}
    needs = re.search(r"^NEEDS = \{(.*)\}", (ROOT / "src/serve.py").read_text(), re.MULTILINE)[1]
    names = {name.split(".")[0] for file in files for name in imports(ROOT / file)}
    third = {NAMES.get(name, name) for name in names - set(sys.stdlib_module_names)} - {"utils", *COME_ALONG}
    assert third <= set(re.findall(r'"([\w-]+)"', needs)) <= set(pins("requirements.txt"))


def test_top_level() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    top = {path.split("/")[0] for path in tracked if not path.startswith(".")}
    assert top <= {
        "src", "data", "model", "evaluation", "tests", "params.yaml", "dvc.yaml", "dvc.lock",
        "requirements.txt", "requirements-freeze.txt", "README.md",
    }  # fmt: skip


def test_ruff() -> None:
    for command in (("check",), ("format", "--check", "--exclude", "src/render.py")):
        result = subprocess.run(["ruff", *command], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_ml_test_score_adds_up_and_its_tests_exist() -> None:
    text = (ROOT / "tests/README.md").read_text()
    for name, file in re.findall(r"\[(test_\w+)\]\(([^)]+)\)", text):
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{name} is not in {file}"
    for file in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "tests" / file).exists(), file
    sums = [
        sum(float(points) for points in re.findall(r"^\| [1-7] .*? \| ([\d.]+) \|", section, re.MULTILINE))
        for section in text.split("\n### ")[1:5]
    ]
    table = re.search(r"points of 7 \| (.*) \| \*\*(.*)\*\*", text)
    assert [float(points) for points in table[1].split(" | ")] == sums and float(table[2]) == min(sums)
    assert text.count("\n| 7 ") == 4
