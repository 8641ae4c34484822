"""utils.cli: exit statuses, one-line errors and signals."""

import errno
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.commands import ROOT
from support.stages import start, wait_until
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import cleanup_on_failure


@pytest.fixture(autouse=True)
def _restore_signal_handlers() -> Iterator[None]:
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


def exit_status(monkeypatch, main: Callable[..., int | None], *arguments: str, folders: tuple[str, ...] = ()) -> object:
    """Return what `sys.exit` gets: a status, or the message of an error."""
    monkeypatch.setattr(sys, "argv", ["src/script.py", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        run_cli(main, make_parser("What the script does.", *folders))
    return exit_info.value.code


def raise_error(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize("status", [None, 0, 1, 3])
def test_run_cli_exits_with_the_status_of_main(monkeypatch, status: int | None) -> None:
    assert exit_status(monkeypatch, lambda: status) == status


def test_run_cli_passes_folders_as_paths(monkeypatch) -> None:
    calls = []
    exit_status(monkeypatch, lambda **folders: calls.append(folders), "a", "b/c", folders=("raw_dir", "model_dir"))
    assert calls == [{"raw_dir": Path("a"), "model_dir": Path("b/c")}]


@pytest.mark.parametrize(("arguments", "status", "printed"), [((), 2, "usage"), (("-h",), 0, "What the script does.")])
def test_run_cli_prints_usage_and_help(monkeypatch, capsys, arguments, status: int, printed: str) -> None:
    assert exit_status(monkeypatch, lambda **_: None, *arguments, folders=("raw_dir",)) == status
    assert printed in "".join(capsys.readouterr())


OUT_OF_MEMORY = "out of memory; use a smaller image_size, batch_size or model, or a larger machine"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("params.yaml not found"), "params.yaml not found"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a\nb"),
            "out/a\\nb: No space left on device; no incomplete",
        ),
        (OSError(errno.EIO, "Input/output error"), "Input/output error; no incomplete output is left"),
        (MemoryError(), OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OUT_OF_MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), OUT_OF_MEMORY),
        (type("ResourceExhaustedError", (Exception,), {})(), OUT_OF_MEMORY),
    ],
)
def test_run_cli_describes_an_error_in_one_line(monkeypatch, error: Exception, message: str) -> None:
    status = exit_status(monkeypatch, raise_error(error))
    assert str(status).startswith(f"script.py: {message}") and "\n" not in str(status)


def test_run_cli_shows_the_traceback_of_a_bug(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["src/script.py"])
    with pytest.raises(ZeroDivisionError):
        run_cli(raise_error(ZeroDivisionError()), make_parser(""))


def test_run_cli_removes_incomplete_outputs_after_an_error(monkeypatch, tmp_path: Path) -> None:
    def main() -> None:
        with cleanup_on_failure(tmp_path / "out"):
            (tmp_path / "out").touch()
            raise UserError("wrong")

    assert exit_status(monkeypatch, main) == "script.py: wrong"
    assert list(tmp_path.iterdir()) == []


WAITING_SCRIPT = """
import pathlib, sys, time
from utils.cli import make_parser, run_cli
from utils.files import atomic_output_dir

def main(out):
    with atomic_output_dir(out) as tmp_dir:
        (tmp_dir / "file").touch()
        while True:
            time.sleep(0.01)  # short: a signal just before a system call does not interrupt it

run_cli(main, make_parser("", "out"))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_run_cli_removes_incomplete_outputs_after_a_signal(tmp_path: Path, signum: signal.Signals) -> None:
    (tmp_path / "script.py").write_text(WAITING_SCRIPT)
    with start(tmp_path, "script.py", "out", PYTHONPATH=str(ROOT / "src")) as process:
        wait_until((tmp_path / ".out.tmp" / "file").exists, process)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert errors == f"\nscript.py: stopped by {signum.name}; no incomplete output is left\n"
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
