"""classifier.images: pixels and memory are bounded, and large photographs are read."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier import decoding
from classifier.images import preprocess
from support.images import encode, gradient_image

SIZE = (10, 12)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small PNG file whose header names another size."""
    content = bytearray(encode(Image.new("1", (1, 1)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_preprocess_of_too_many_pixels_is_an_error_before_decoding() -> None:
    with pytest.raises(ValueError, match="900000000 pixels"):
        preprocess(png_that_claims(30_000, 30_000), SIZE, False)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_preprocess_of_an_image_that_needs_too_much_memory_does_not_decode_it() -> None:
    content = encode(Image.new("1", (13_000, 13_000)), "PNG")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_bytes()
    with pytest.raises(ValueError, match="13000 x 13000 pixels need 484 MiB of memory; the limit is 320 MiB"):
        preprocess(content, SIZE, False)
    assert peak_bytes() - before < 2**24


def test_preprocess_decodes_a_photograph_of_200_megapixels() -> None:
    content = encode(Image.new("L", (16_320, 12_240), 77), "JPEG")
    assert (preprocess(content, SIZE, True) == 77).all()
    with pytest.raises(ValueError, match="16400 x 16400 pixels are more than 268,435,456"):
        preprocess(jpeg_that_claims(16_400, 16_400), SIZE, True)


def jpeg_that_claims(width: int, height: int) -> bytes:
    """Return a small JPEG file whose header names another size."""
    content = bytearray(encode(Image.new("L", (8, 8)), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def split_scans(jpeg: bytes) -> bytes:
    """Return a JPEG whose first scan has one component; a decoder then keeps all coefficients until the last scan."""
    start = jpeg.index(b"\xff\xda")
    return jpeg[:start] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + jpeg[start + 14 :]


@pytest.mark.parametrize("is_progressive", [False, True])
def test_preprocess_counts_the_coefficients_of_a_jpeg_with_several_scans(
    monkeypatch: pytest.MonkeyPatch, is_progressive: bool
) -> None:
    image = gradient_image().resize((4000, 3000))
    content = encode(image, "JPEG", quality=20)
    several_scans = encode(image, "JPEG", quality=20, progressive=True) if is_progressive else split_scans(content)
    monkeypatch.setattr(decoding, "MAX_DECODE_BYTES", 4000 * 3000 * 3)
    preprocess(content, SIZE, False)
    with pytest.raises(ValueError, match="500 x 375 pixels need 70 MiB of memory; the limit is 34 MiB"):
        preprocess(several_scans, SIZE, False)


MEMORY_CASES = [
    ("RGB", "PNG", {}),
    ("RGBA", "PNG", {}),
    ("LA", "PNG", {}),
    ("P", "PNG", {"transparency": 3}),
    ("RGB", "PNG", {"transparency": (0, 0, 255)}),
    ("1", "PNG", {}),
    ("I;16", "PNG", {}),
    ("P", "GIF", {}),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    ("CMYK", "JPEG", {}),
    ("RGB", "JPEG2000", {}),
    ("RGB", "WEBP", {"method": 0}),
    ("RGBA", "WEBP", {"method": 0, "lossless": True}),
    ("RGB", "AVIF", {"speed": 10, "subsampling": "4:4:4"}),
    ("RGBA", "AVIF", {"speed": 10}),
    ("RGB", "PPM", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw", "strip_size": 10**9}),
    ("CMYK", "TIFF", {"compression": "tiff_adobe_deflate", "strip_size": 10**9}),
    ("F", "TIFF", {"compression": "tiff_adobe_deflate", "strip_size": 10**9}),
    ("I", "TIFF", {}),
]


@pytest.mark.parametrize(("mode", "format", "options"), MEMORY_CASES)
def test_preprocess_needs_no_more_memory_than_it_estimates(
    monkeypatch: pytest.MonkeyPatch, mode: str, format: str, options: dict[str, Any]
) -> None:
    image = gradient_image().resize((2000, 1500))
    image = Image.fromarray(np.asarray(image.convert("I"), np.uint16)) if mode == "I;16" else image.convert(mode)
    content = encode(image, format, **options)
    preprocess(content, SIZE, False)  # loads the decoder
    monkeypatch.setattr(decoding, "MAX_DECODE_BYTES", 1)
    with pytest.raises(ValueError, match=r"need \d+ MiB") as error:
        preprocess(Image.open(io.BytesIO(content)), SIZE, False)
    estimate = int(str(error.value).partition(" need ")[2].split()[0]) * 2**20
    monkeypatch.undo()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = peak_bytes()
    preprocess(content, SIZE, False)
    assert peak_bytes() - before < estimate + 2 * 2**20


def peak_bytes() -> int:
    """Return the largest memory of this process since the last reset."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
