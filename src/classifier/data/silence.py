"""Keep decoders from printing to stderr: their messages name no file, and the scripts report each file themselves."""

import contextlib
import ctypes
import logging
import warnings

from PIL import _imaging


def silence_decoders() -> None:
    """Hide what Pillow and its libtiff print and warn about. Pillow still raises an error for a damaged file."""
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").handlers = [logging.NullHandler()]  # without any handler, Python prints errors
    pillow = ctypes.CDLL(_imaging.__file__)
    with contextlib.suppress(AttributeError):  # a Pillow without libtiff
        pillow.TIFFSetErrorHandler(None)
        pillow.TIFFSetWarningHandler(None)
