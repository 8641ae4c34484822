"""The one definition of preprocess, for training, evaluation and serving.

`prepare.py` calls this module. The model archive contains its source (see `classifier/model/saving.py`), which the
service runs. So it imports only NumPy, Pillow and `classifier/decoding.py`.
"""

import io
import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from classifier.decoding import MAX_DECODE_BYTES, load_as_8bit, open_image, without_metadata

TRANSPOSITIONS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAX_TRANSFORMS = 64
_transforms: dict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = {}  # not `lru_cache`, which Dask cannot send


def preprocess(
    image: Image.Image | str | os.PathLike[str] | bytes | BinaryIO,
    image_size: Sequence[int],
    grayscale: bool,
) -> np.ndarray:
    """Turn any image into one model input.

    The image is rotated according to its EXIF orientation, and stretched to `image_size` with Pillow's bilinear filter.
    For speed, a JPEG is decoded at the smallest scale that has at least twice that size, and a large image is first
    reduced to three to six times that size by averaging. Colours are converted from the image's ICC profile to sRGB.
    Transparent pixels are drawn over black. 16-bit values are reduced to 8 bits. Values without a fixed range (float
    and 32-bit TIFF) are scaled from their minimum and maximum to 0 and 255. Of several frames, the first is used.

    Args:
        image: a path, the bytes of a file, an open binary file, or a Pillow image (a JPEG that is not loaded yet stays
            at the reduced scale).
        image_size: (height, width) in pixels.
        grayscale: return one channel (ITU-R 601 luma) instead of three (RGB).

    Returns:
        A uint8 array of shape (1, height, width, channels), with values from 0 to 255. The model's first layer
        scales them.

    Raises:
        ValueError: the image cannot be decoded, has another format than those in FORMATS, or exceeds MAX_PIXELS
            or MAX_DECODE_BYTES.
        FileNotFoundError, PermissionError: the path cannot be opened.
    """
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            image = file.read(MAX_DECODE_BYTES)  # a longer file exceeds the limit in any case
    try:
        if isinstance(image, Image.Image):
            pixels = _to_pixels(image, image_size, grayscale)
        else:
            content = image if isinstance(image, bytes) else image.read(MAX_DECODE_BYTES)
            pixels = _decode(content, image_size, grayscale)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "cannot identify image file" in reason:
            reason = "unknown format"
        raise ValueError(f"not a readable image: {reason}") from error
    return pixels.reshape(1, *image_size, 1 if grayscale else 3)


def _decode(content: bytes, image_size: Sequence[int], grayscale: bool) -> np.ndarray:
    """Return the pixels of a file."""
    if not content:
        raise ValueError("the file is empty")
    try:
        return _to_pixels(open_image(content), image_size, grayscale, len(content))
    except (OSError, SyntaxError, ValueError):
        if (stripped := without_metadata(content)) == content:
            raise
    return _to_pixels(open_image(stripped), image_size, grayscale, len(content))


def _to_pixels(image: Image.Image, image_size: Sequence[int], grayscale: bool, file_bytes: int = 0) -> np.ndarray:
    pixels, exact_size = load_as_8bit(image, 2 * max(image_size), file_bytes)
    # The orientation is read only now: Pillow loads some images for it, and it rotates a TIFF itself.
    orientation = _read_orientation(image)
    height, width = image_size if orientation < 5 else reversed(image_size)
    # Conversions that are not needed are skipped, because each one copies the image.
    factors = max(1, pixels.width // (3 * width)), max(1, pixels.height // (3 * height))
    pixels = pixels.reduce(factors)
    if pixels.mode == "RGBa":  # colours multiplied by alpha, which is the same as drawn over black
        pixels = Image.merge("RGB", pixels.split()[:3])
    profile = image.info.get("icc_profile")
    if profile and (transform := _srgb_transform(profile, pixels.mode)):
        pixels = transform.apply(pixels)
    box = (0, 0, exact_size[0] / factors[0], exact_size[1] / factors[1])
    pixels = pixels.resize((width, height), Image.Resampling.BILINEAR, box)
    if orientation in TRANSPOSITIONS:
        pixels = pixels.transpose(TRANSPOSITIONS[orientation])
    mode = "L" if grayscale else "RGB"
    return np.asarray(pixels if pixels.mode == mode else pixels.convert(mode))


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, from 1 to 8; 1 if it is missing or invalid."""
    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001, because Pillow raises many types for damaged metadata
        return 1
    return orientation if orientation in TRANSPOSITIONS else 1


def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from an ICC profile to sRGB, or None if it is damaged or hardly changes any colour."""
    key = profile, mode
    try:
        return _transforms[key]
    except KeyError:
        transform = _make_srgb_transform(profile, mode)
    if len(_transforms) >= MAX_TRANSFORMS:
        _transforms.clear()
    _transforms[key] = transform
    return transform


def _make_srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        transform = ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    if mode == "RGB":
        colors = np.mgrid[0:256:17, 0:256:17, 0:256:17].reshape(3, 64, 64).transpose(1, 2, 0)
        converted = transform.apply(Image.fromarray(colors.astype(np.uint8)))
        if np.abs(np.asarray(converted, int) - colors).max() <= 2:
            return None
    return transform
