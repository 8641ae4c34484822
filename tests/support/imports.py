"""Which modules a file of this project imports, read from its source."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from support.commands import ROOT

SRC = ROOT / "src"


@cache
def list_imports(file: Path, at_start_only: bool = False) -> frozenset[str]:
    """Return the full names of all modules that a file imports.

    Args:
        file: a Python file.
        at_start_only: leave out imports inside functions and for type checking, which do not run on import.
    """
    names = set()
    for node in _iter_nodes(ast.parse(file.read_text()), at_start_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from package import name`: the name is a module or something inside the package.
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in submodules if find_file(name)}
            names |= modules
            if modules != submodules:
                names.add(node.module)
    return frozenset(names)


def _iter_nodes(tree: ast.AST, at_start_only: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        is_deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        if not (at_start_only and is_deferred):
            yield node
            yield from _iter_nodes(node, at_start_only)


def find_file(module: str) -> Path | None:
    """Return the file of a module of this project, or None for other modules and for packages."""
    file = SRC / f"{module.replace('.', '/')}.py"
    return file if file.is_file() else None


def find_closure(file: Path, at_start_only: bool = False) -> set[Path]:
    """Return a file and all files of this project that it imports, directly or indirectly."""
    closure, pending = set(), [file]
    while pending:
        current = pending.pop()
        if current not in closure:
            closure.add(current)
            pending += filter(None, map(find_file, list_imports(current, at_start_only)))
    return closure


def top_packages(file: Path) -> set[str]:
    """Return the first parts of the names of all modules that a file imports."""
    return {name.partition(".")[0] for name in list_imports(file)}
