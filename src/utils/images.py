"""The one definition of preprocess and postprocess, for training, evaluation and service.

`prepare.py` calls this module; the package carries its text (see `package.py`) and the
service runs that. So it stands alone: NumPy, Pillow and nothing of this project.
"""

import io
import os
import warnings
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

MAX_PIXELS = 89_478_485  # Pillow's own line for a decompression bomb: a quarter of a GB in RGB


def preprocess(
    picture: Image.Image | str | os.PathLike | bytes | BinaryIO,
    image_size: Sequence[int],
    grayscale: bool,
) -> np.ndarray:
    """Turn any picture into one model input.

    The picture is turned upright by its EXIF orientation. Transparency is laid over black,
    16 bits become 8, and values without a fixed range (float and 32-bit TIFF) are stretched
    from their minimum to their maximum. Of several frames the first counts; colour profiles
    are not applied. The size is reached by stretching, with Pillow's bilinear filter.

    Args:
        picture: a Pillow image, a path, the bytes of a file, or an open binary file.
        image_size: (height, width) in pixels.
        grayscale: one channel (ITU-R 601 luma) rather than three (RGB).

    Returns:
        uint8 array, 1 x height x width x channels, 0 to 255. Scaling is the model's first layer.

    Raises:
        ValueError: the picture cannot be read to its end, or has over MAX_PIXELS pixels.
        FileNotFoundError, PermissionError: the path cannot be opened.
    """
    if isinstance(picture, (str, os.PathLike)):
        with open(picture, "rb") as file:
            picture = file.read()
    if isinstance(picture, bytes):
        picture = io.BytesIO(picture)
    height, width = image_size
    mode = "L" if grayscale else "RGB"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; only pixels count here
            image = picture if isinstance(picture, Image.Image) else Image.open(picture)
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            image.load()
            # What most pictures do not need is skipped, since Pillow would copy them each time.
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                image = ImageOps.exif_transpose(image)
            image = _eight_bit(image)
            if image.mode != mode:
                image = image.convert(mode)
            pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble on
        told = isinstance(error, (OSError, ValueError, Image.DecompressionBombError))
        reason = str(error) if told else type(error).__name__
        if "cannot identify image file" in reason:
            reason = "unknown format"
        raise ValueError(f"not a readable picture: {reason or 'broken data'}") from error
    return pixels.reshape(1, height, width, 1 if grayscale else 3)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The same picture in a mode that `convert` takes to L or RGB as the eye sees it."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        low, high = values.min(), values.max()
        return Image.fromarray(((values - low) * (255 / max(high - low, 1e-300))).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image)
    return image


def postprocess(logits: np.ndarray, labels: Sequence[str]) -> dict[str, str | dict[str, float]]:
    """Name the class of one model output.

    Args:
        logits: float array, 1 x classes, as the model gives them.
        labels: the classes' names, in the order of the logits.

    Returns:
        {"prediction": name, "probabilities": {name: probability}}, of the softmax in float64.

    Raises:
        ValueError: logits of another shape, or not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape != (1, len(labels)) or not np.isfinite(logits).all():
        raise ValueError(f"logits of shape {logits.shape}, or not finite; expected (1, {len(labels)})")
    odds = np.exp(logits[0] - logits.max())
    probabilities = (odds / odds.sum()).tolist()
    return {
        "prediction": labels[int(np.argmax(logits))],
        "probabilities": dict(zip(labels, probabilities, strict=True)),
    }
