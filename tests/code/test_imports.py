"""What a file imports: declared as dependencies, and within the import rules of src/README.md."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

from support.commands import ROOT
from support.imports import SRC, find_closure, find_file, list_imports, top_packages

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FILES = sorted(SRC.rglob("*.py"))
ENTRY_POINTS = sorted(SRC.glob("*.py"))
HEAVY = {"tensorflow", "keras", "bentoml"}  # their import takes up to 10 s


def covers(declared: str, path: str) -> bool:
    """Return whether a declared file or folder is or contains a path."""
    return path == declared.rstrip("/") or path.startswith(f"{declared.rstrip('/')}/")


def code_closure(entry_point: str) -> set[str]:
    """Return the files with code that an entry point imports, relative to the repository."""
    return {str(file.relative_to(ROOT)) for file in find_closure(SRC / entry_point)}


def assert_declared(declared: list[str], entry_point: str) -> None:
    """Check that the declared files and folders are exactly what an entry point imports or reads."""
    closure = code_closure(entry_point)
    undeclared = {path for path in closure if not any(covers(entry, path) for entry in declared)}
    assert not undeclared
    text = "".join((ROOT / path).read_text() for path in closure)
    for entry in declared:
        is_imported = any(covers(entry, path) for path in closure)
        is_package = entry.endswith("/__init__.py")
        assert is_imported or is_package or f'"{Path(entry).name}"' in text, f"{entry} is not used"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_deps_are_what_its_script_imports(stage: str) -> None:
    assert_declared([dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")], f"{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_stage_params_are_the_section_that_its_script_loads(stage: str) -> None:
    loaded = {
        node.args[0].id.removesuffix("Params").lower()
        for node in ast.walk(ast.parse((SRC / f"{stage}.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "load_params"
    }
    assert set(STAGES[stage].get("params", [])) == loaded


@pytest.mark.parametrize("stage", STAGES)
def test_stage_declares_the_folders_in_its_command(stage: str) -> None:
    entries = STAGES[stage]["deps"] + STAGES[stage].get("outs", []) + STAGES[stage].get("metrics", [])
    declared = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    for word in STAGES[stage]["cmd"].split()[1:]:
        assert any(covers(word, path) for path in declared), word


def test_bentoignore_keeps_what_the_service_imports() -> None:
    kept = re.findall("^!(.+)", (ROOT / ".bentoignore").read_text(), re.MULTILINE)
    assert_declared(kept, "serve.py")


def test_package_init_files_contain_no_code() -> None:
    # So they need not be declared, and `import classifier.config` imports nothing else.
    for file in SRC.rglob("__init__.py"):
        assert [type(node) for node in ast.parse(file.read_text()).body] == [ast.Expr], file


def test_imports_go_downwards_from_entry_points_to_classifier_to_utils() -> None:
    names = {file.stem for file in ENTRY_POINTS}
    for file in FILES:
        assert not top_packages(file) & names, f"{file} imports an entry point"
    for file in (SRC / "utils").rglob("*.py"):
        assert "classifier" not in top_packages(file), file


def test_imports_have_no_cycles() -> None:
    graph = {file: set(filter(None, map(find_file, list_imports(file)))) for file in FILES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("name", ["decoding", "images", "predictions", "unknown"])
def test_module_in_the_archive_imports_only_numpy_pillow_and_each_other(name: str) -> None:
    packages = top_packages(SRC / f"classifier/{name}.py") - set(sys.stdlib_module_names)
    imported = {find_file(module) for module in list_imports(SRC / f"classifier/{name}.py")} - {None}
    assert imported <= {SRC / "classifier/decoding.py"}
    assert packages <= {"numpy", "PIL", "pi_heif", "classifier"}


def test_prepare_and_render_never_import_tensorflow() -> None:
    for name in ("prepare.py", "render.py"):
        assert not [file for file in find_closure(SRC / name) if top_packages(file) & HEAVY]


@pytest.mark.parametrize("name", [file.name for file in ENTRY_POINTS if file.name != "serve.py"])
def test_entry_point_imports_no_heavy_library_before_it_checks_arguments(name: str) -> None:
    for file in find_closure(SRC / name, at_start_only=True):
        imported = {module.partition(".")[0] for module in list_imports(file, at_start_only=True)}
        assert not imported & HEAVY, file


def test_bentoml_private_api_is_used_in_one_file() -> None:
    users = [file for file in FILES if re.search(r"bentoml\._|_bentoml_", file.read_text())]
    assert users == [SRC / "classifier/model/store.py"]


def test_tensorflow_api_is_used_in_two_files() -> None:
    users = [file for file in FILES if "tensorflow" in top_packages(file) or re.search(r"\btf\.", file.read_text())]
    assert users == [SRC / "classifier/model/batches.py", SRC / "utils/seed.py"]


def test_source_uses_no_pickle_except_for_dask_and_the_pretrained_weights() -> None:
    for file in FILES:
        assert "allow_pickle=True" not in file.read_text(), file
        assert file == SRC / "classifier/model/backbone/checkpoint.py" or "pickle" not in top_packages(file), file
        assert file == SRC / "utils/parallel.py" or "cloudpickle" not in top_packages(file), file
