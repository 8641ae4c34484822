"""Decode image files within limits: formats, pixels and memory.

The model archive contains the source of this module, so it imports NumPy and Pillow only.
"""

import io
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin
from PIL.JpegImagePlugin import JpegImageFile, jpeg_factory

# The formats that are decoded, with their file extensions. Pillow knows over 40 formats, and decodes some with other
# programs, such as Ghostscript.
FORMATS = {
    "JPEG": (".jfif", ".jpe", ".jpeg", ".jpg"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),  # with the package pi-heif
    "JPEG2000": (".jp2",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
IMAGE_EXTENSIONS = frozenset(extension for extensions in FORMATS.values() for extension in extensions)
MAX_PIXELS = 2**28  # 16,384 x 16,384; it bounds the time for a JPEG, which needs little memory
MAX_DECODE_BYTES = 320 * 2**20  # the file, the decoded image and all buffers; see `_estimate_bytes`
FRAME_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # "start of frame" (ITU-T T.81, table B.1)
SEQUENTIAL, PROGRESSIVE = {0xC0, 0xC1}, {0xC2}  # with Huffman coding
HEIC_BRAND = re.compile(rb".{4}ftyp.{0,48}?(hei[cmsx]|hev[cmsx])", re.DOTALL)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def open_image(content: bytes) -> Image.Image:
    """Read the header of an image file, of one of the FORMATS, whatever its name is.

    Raises:
        OSError, SyntaxError: the format is unknown, or the header is damaged.
        ValueError: a HEIC image, but pi-heif is not installed; or the header is damaged.
    """
    file = io.BytesIO(content)
    if content.startswith(b"\xff\xd8\xff"):
        return jpeg_factory(file)  # `Image.open` rejects large images, at any scale
    if HEIC_BRAND.match(content):
        try:
            import pi_heif
        except ImportError:
            raise ValueError("HEIC images need the package pi-heif; install it, or convert the image to JPEG") from None
        pi_heif.register_heif_opener()
        return Image.open(file, formats=("HEIF",))
    return Image.open(file, formats=[name for name in FORMATS if name != "HEIF"])


def without_metadata(content: bytes) -> bytes:
    """Return a PNG with only its critical chunks and its transparency, and other files as they are.

    Pillow refuses a PNG for a long text or a damaged profile too, but only the pixels matter.
    """
    if not content.startswith(PNG_SIGNATURE):
        return content
    chunks, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4])
        name = content[start + 4 : start + 8]
        if name[:1].isupper() or name == b"tRNS":
            chunks.append(content[start:end])
        start = end
    return b"".join(chunks)


def load_as_8bit(image: Image.Image, min_side: int, file_bytes: int) -> tuple[Image.Image, tuple[float, float]]:
    """Check the limits, then decode an image, at a reduced scale if possible, and convert it to an 8-bit mode.

    Args:
        image: an image whose pixels are not decoded yet, or any other Pillow image.
        min_side: a JPEG is decoded at the smallest scale at which width and height are at least this number of pixels.
        file_bytes: the memory that the file takes.

    Returns:
        The image, and its (width, height) at the reduced scale, not rounded to whole pixels. An image with transparency
        has the mode RGBa.

    Raises:
        ValueError: the image has more than MAX_PIXELS, or decoding it needs more than MAX_DECODE_BYTES.
    """
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
    box, num_bytes = None, file_bytes
    if isinstance(image, JpegImageFile) and image.tile:  # not decoded yet
        frames, has_one_scan = _read_markers(image)
        if not (frames and frames <= SEQUENTIAL and has_one_scan):  # libjpeg keeps the coefficients of all scans
            num_bytes += 2 * image.layers * image.width * image.height
        if frames and frames <= SEQUENTIAL | PROGRESSIVE:  # Pillow crashes if it scales a lossless JPEG
            _, box = image.draft(None, (min_side, min_side)) or (None, None)
    num_bytes += _estimate_bytes(image)
    if num_bytes > MAX_DECODE_BYTES:
        needed, limit = math.ceil(num_bytes / 2**20), MAX_DECODE_BYTES // 2**20
        raise ValueError(f"{image.width} x {image.height} pixels need {needed} MiB of memory; the limit is {limit} MiB")
    pixels = _convert_to_8bit(image)
    return pixels, box[2:] if box else pixels.size


def _read_markers(image: JpegImageFile) -> tuple[set[int], bool]:
    """Return the markers of frames before the first scan of a JPEG, and whether this scan has all components.

    There are none if the file has anything but marker segments before the scan.
    """
    file: Any = image.fp  # after the header of the first scan
    end = file.tell()
    file.seek(0)
    header = file.read(end)
    markers, start, length = set(), 2, 0
    while start < end and header[start] == 0xFF:
        markers.add(header[start + 1])
        length = int.from_bytes(header[start + 2 : start + 4])
        start += 2 + length
    return markers & FRAME_MARKERS if start == end else set(), length == 6 + 2 * image.layers


def _estimate_bytes(image: Image.Image) -> int:
    """Return the memory to decode an image and convert it, measured with one image per format and mode."""
    bands = len(image.getbands())
    decoder = {"AVIF": 12, "HEIF": 12, "JPEG2000": 5 * bands + 1, "WEBP": 13}.get(image.format or "", 0)
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # an uncompressed strip, which can be the whole image
        decoder = math.ceil(sum(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))) / 8)
    converted = {"1": 3, "L": 2, "P": 6, "I;16": 9, "I;16B": 9, "I": 11, "F": 11, "RGBA": 9}.get(image.mode, 5)
    if image.has_transparency_data and image.mode != "RGBA":
        converted = 13
    return (decoder + converted) * image.width * image.height


def _convert_to_8bit(image: Image.Image) -> Image.Image:
    """Decode an image, and convert it to an 8-bit mode without losing brightness or transparency."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    rawmode = tiles[0].args if tiles and image.format == "PNG" else None
    image.load()
    transparent = image.info.get("transparency")
    # Pillow converts the pixels of a PNG to 8 bits, but not the transparent colour.
    if rawmode in ("L;2", "L;4") and transparent is not None:
        image.info["transparency"] = transparent * (85 if rawmode == "L;2" else 17)
    if rawmode == "RGB;16B" and transparent is not None:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _scale_to_8bit(image, transparent)
    if image.mode == "La":  # brightness multiplied by alpha, which is the same as drawn over black
        return image.getchannel("L")
    if image.has_transparency_data:
        return (image if image.mode == "RGBA" else image.convert("RGBA")).convert("RGBa")
    if image.mode in ("1", "P"):  # cannot be averaged
        return image.convert("L" if image.mode == "1" else "RGB")
    return image


def _scale_to_8bit(image: Image.Image, transparent: int | None) -> Image.Image:
    """Reduce 16-bit values to 8 bits, and scale values without a fixed range to 0 to 255."""
    low, scale = 0.0, 1 / 256
    if image.mode in ("I", "F") and image.format != "PPM":  # a PPM file has 16 bits
        extremes = np.array([(rows.min(), rows.max()) for _, rows in _iter_rows(image)])
        low = extremes.min()
        scale = 255 / max(extremes.max() - low, 1e-300)
    result = Image.new("L", image.size)
    for top, rows in _iter_rows(image):
        pixels = ((rows - low) * scale).astype(np.uint8)
        if transparent is not None:
            pixels[rows == transparent] = 0
        result.paste(Image.fromarray(pixels), (0, top))
    return result


def _iter_rows(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """Yield groups of rows, as float64 values, with the index of the first; values that are not finite are 0."""
    num_rows = max(1, 2**18 // image.width)
    for top in range(0, image.height, num_rows):
        rows = image.crop((0, top, image.width, min(top + num_rows, image.height)))
        yield top, np.nan_to_num(np.asarray(rows, np.float64), posinf=0, neginf=0)
