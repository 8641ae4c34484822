"""What the stages share: arguments, one-line errors, signals, and outputs that come whole or not at all."""

import argparse
import errno
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ENDINGS = frozenset(".avif .bmp .gif .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split())

_unfinished: list[Path] = []  # what a signal has to remove


class Failure(Exception):
    """Something that the user can mend. Its text says what, where and what to do."""


def shown(name: str | os.PathLike) -> str:
    """A file name as printable text: newlines and bytes that are no UTF-8 are escaped."""
    text = os.fspath(name).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_picture(name: str) -> bool:
    """Whether a file name ends like a picture's."""
    return os.path.splitext(name)[1].lower() in ENDINGS


def run(main: Callable[..., None], doc: str, *arguments: str) -> None:
    """Call `main` with one path for each of the named command-line arguments.

    Exit status: 0; 1 with one line on stderr; 2 for a wrong call; 130 and 143 after SIGINT
    and SIGTERM, when all that is unfinished has been removed.
    """
    script = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(script, description=doc, formatter_class=argparse.RawTextHelpFormatter)
    for name in arguments:
        parser.add_argument(name, type=Path, metavar=name.upper())
    paths = vars(parser.parse_args()).values()

    errors = os.dup(2)  # stderr, also while `utils.seed` hides what libraries write there as they load

    def stop(signum: int, frame: object) -> None:
        # No unwinding: an exception can get lost in the callbacks of a library that is being imported.
        _discard()
        os.write(errors, f"\n{script}: stopped by {signal.Signals(signum).name}; nothing was changed\n".encode())
        os._exit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, stop)
    try:
        main(*paths)
    except Failure as failure:
        message = str(failure)
    except Exception as error:
        # TensorFlow's and JAX's own errors are told by name, since this module loads neither.
        exhausted = re.search("(?i)resource_?exhausted", repr(error))
        if exhausted or isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            message = "out of memory; use a smaller image_size, batch_size or model, or a larger machine"
        elif isinstance(error, OSError):
            where = f"{shown(error.filename)}: " if error.filename else ""
            message = f"{where}{error.strerror or error}; nothing was changed"
        else:
            raise
    else:
        return
    finally:
        _discard()
    sys.exit(f"{script}: {message}")


@contextmanager
def output(folder: Path) -> Iterator[Path]:
    """Give a scratch folder whose files move into `folder` when the block ends without an error.

    Files of the same name are replaced; whatever else is in `folder` stays.
    """
    scratch = folder.parent / f".{folder.name}.tmp"  # one name, so that a killed run's rest is swept up here
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with removed_on_failure(scratch):
        try:
            yield scratch
        except OSError as error:
            error.filename = error.filename or folder  # a full disk does not say whose file it was
            raise
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            target = folder / file.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
        shutil.rmtree(scratch)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Remove `path` if the block ends with an error, or the process with a signal."""
    _unfinished.append(path)
    yield
    _unfinished.remove(path)


def _discard() -> None:
    for path in _unfinished:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
