"""Images drawn for tests."""

import io
from typing import Any

import numpy as np
from PIL import Image


def gradient_image(mode: str = "RGB") -> Image.Image:
    """Return a colour gradient of 60 x 40 pixels."""
    y, x = np.mgrid[:40, :60]
    return Image.fromarray(np.stack([x * 4, y * 6, 255 - x * 2], axis=2).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()
