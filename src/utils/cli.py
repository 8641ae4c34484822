"""Command-line entry points: arguments, one-line errors, signals and exit codes."""

import argparse
import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.files import printable, remove_incomplete


def make_parser(doc: str | None, *folders: str) -> argparse.ArgumentParser:
    """Return a parser that prints a module's docstring as its help.

    Args:
        doc: the docstring of the script.
        folders: names of positional arguments; each is a `pathlib.Path`.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    for name in folders:
        parser.add_argument(name, type=Path, metavar=name.upper())
    return parser


def run_cli(main: Callable[..., int | None], parser: argparse.ArgumentParser) -> None:
    """Call `main` with the parsed command-line arguments as keywords, then exit.

    Exit status: what `main` returns (None is 0); 1 with one line on stderr for an error; 2 for wrong arguments;
    130 and 143 after SIGINT and SIGTERM, when all incomplete outputs have been removed.
    """
    script = Path(sys.argv[0]).name
    arguments = vars(parser.parse_args())
    _handle_signals(script)
    try:
        sys.exit(main(**arguments))
    except UserError as error:
        message = str(error)
    except Exception as error:
        if (described := _describe(error)) is None:
            raise
        message = described
    finally:
        remove_incomplete()
    sys.exit(f"{script}: {message}")


def print_warning(message: str) -> None:
    """Print one line to stderr, which begins with the name of the script."""
    print(f"{Path(sys.argv[0]).name}: warning: {message}", file=sys.stderr)


def _handle_signals(script: str) -> None:
    stderr = os.dup(2)  # also valid while `utils.seed` redirects stderr

    def stop(signum: int, _frame: object) -> None:
        # Exit without an exception: it can get lost in a callback of a library that is being imported.
        remove_incomplete()
        os.write(
            stderr, f"\n{script}: stopped by {signal.Signals(signum).name}; no incomplete output is left\n".encode()
        )
        os._exit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, stop)


def _describe(error: Exception) -> str | None:
    """Return one line for an error of the machine (memory, disk, permissions); None for a bug."""
    # Match TensorFlow's and JAX's errors by name, so that this module imports neither.
    exhausted = re.search("(?i)resource_?exhausted", repr(error))
    if exhausted or isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return "out of memory; use a smaller image_size, batch_size or model, or a larger machine"
    if isinstance(error, OSError):
        where = f"{printable(error.filename)}: " if error.filename else ""
        return f"{where}{error.strerror or error}; no incomplete output is left"
    return None
