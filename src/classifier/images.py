"""The one definition of preprocess and postprocess, for training, evaluation and serving.

`prepare.py` calls this module. The model archive contains its source (see `classifier/model/store.py`), and the
service runs that source. So it imports NumPy and Pillow only.
"""

import io
import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

# The formats that are decoded, with their file extensions. Pillow knows over 40 formats; some start other programs.
FORMATS = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "JPEG2000": (".jp2",),
    "PNG": (".png",),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
IMAGE_EXTENSIONS = frozenset(extension for extensions in FORMATS.values() for extension in extensions)
MAX_PIXELS = 89_478_485  # Pillow's own warning level, as a constant, so that it does not change with Pillow


def preprocess(
    image: Image.Image | str | os.PathLike[str] | bytes | BinaryIO,
    image_size: Sequence[int],
    grayscale: bool,
) -> np.ndarray:
    """Turn any image into one model input.

    The image is rotated according to its EXIF orientation. Transparent pixels are drawn over black. 16-bit values
    are reduced to 8 bits. Values without a fixed range (float and 32-bit TIFF) are scaled from their minimum and
    maximum to 0 and 255. Of several frames, the first is used. Colour profiles are not applied. The image is
    stretched to `image_size` with Pillow's bilinear filter.

    Args:
        image: a Pillow image, a path, the bytes of a file, or an open binary file.
        image_size: (height, width) in pixels.
        grayscale: return one channel (ITU-R 601 luma) instead of three (RGB).

    Returns:
        A uint8 array of shape (1, height, width, channels), with values from 0 to 255. The model's first layer
        scales them.

    Raises:
        ValueError: the image cannot be decoded, has another format than those in FORMATS, or has more than
            MAX_PIXELS pixels.
        FileNotFoundError, PermissionError: the path cannot be opened.
    """
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            image = file.read()
    if isinstance(image, bytes):
        image = io.BytesIO(image)
    height, width = image_size
    mode = "L" if grayscale else "RGB"
    try:
        if not isinstance(image, Image.Image):
            image = Image.open(image, formats=tuple(FORMATS))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
        image.load()
        # Conversions that are not needed are skipped, because each one copies the image.
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        image = _to_8bit(image)
        if image.mode != mode:
            image = image.convert(mode)
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        is_expected = isinstance(error, (OSError, ValueError, Image.DecompressionBombError))
        reason = str(error) if is_expected else type(error).__name__
        if "cannot identify image file" in reason:
            reason = "unknown format"
        raise ValueError(f"not a readable image: {reason or 'damaged data'}") from error
    return pixels.reshape(1, height, width, 1 if grayscale else 3)


def _to_8bit(image: Image.Image) -> Image.Image:
    """Convert to an 8-bit mode without losing brightness or transparency."""
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
    """Turn one model output into a prediction.

    Args:
        logits: a float array of shape (1, number of classes).
        labels: the class names, in the order of the logits.

    Returns:
        {"prediction": class name, "probabilities": {class name: probability}}. The probabilities are the softmax of
        the logits in float64.

    Raises:
        ValueError: the logits have another shape or are not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape != (1, len(labels)) or not np.isfinite(logits).all():
        raise ValueError(f"logits of shape {logits.shape}, or not finite; expected (1, {len(labels)})")
    exp_logits = np.exp(logits[0] - logits.max())
    probabilities = (exp_logits / exp_logits.sum()).tolist()
    return {
        "prediction": labels[int(np.argmax(logits))],
        "probabilities": dict(zip(labels, probabilities, strict=True)),
    }
