"""Keep decoders from printing to stderr: their messages name no file, and `prepare.py` reports each file itself."""

import contextlib
import ctypes
import logging

from PIL import _imaging


def silence_decoders() -> None:
    """Remove the message handlers of Pillow and of its libtiff. Pillow still raises an error for a damaged file."""
    logging.getLogger("PIL").handlers = [logging.NullHandler()]  # without any handler, Python prints errors
    pillow = ctypes.CDLL(_imaging.__file__)
    with contextlib.suppress(AttributeError):  # a Pillow without libtiff
        pillow.TIFFSetErrorHandler(None)
        pillow.TIFFSetWarningHandler(None)
