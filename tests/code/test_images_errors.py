"""classifier.images: damaged files and other formats are errors."""

import io
import random
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.images import preprocess
from support.images import encode, gradient_image

SIZE = (10, 12)


def photoshop_file() -> bytes:
    """Return a black Photoshop file of 4 x 4 pixels; Pillow reads this format but does not write it."""
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 4, 4, 8, 3)
    return header + bytes(3 * 4) + bytes(2) + bytes(3 * 4 * 4)


@pytest.mark.parametrize(
    ("pillow_format", "content"),
    [
        ("EPS", encode(gradient_image(), "EPS")),
        ("ICO", encode(gradient_image(), "ICO")),
        ("PSD", photoshop_file()),
        ("TGA", encode(gradient_image(), "TGA")),
        (None, encode(gradient_image(), "PDF")),
        (None, b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        (None, b"text"),
    ],
)
def test_preprocess_of_other_formats_is_an_error_even_if_pillow_reads_them(
    tmp_path: Path, pillow_format: str | None, content: bytes
) -> None:
    if pillow_format:
        assert Image.open(io.BytesIO(content)).format == pillow_format
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    for image in (path, content):
        with pytest.raises(ValueError, match=r"^not a readable image: unknown format$"):
            preprocess(image, SIZE, False)


@pytest.mark.parametrize("content", [encode(gradient_image(), "JPEG")[:-200], encode(gradient_image(), "PNG")[:60]])
def test_preprocess_of_damaged_images_raises_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable image"):
        preprocess(content, SIZE, False)


def test_preprocess_of_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.touch()
    for image in (path, b""):
        with pytest.raises(ValueError, match=r"^not a readable image: the file is empty$"):
            preprocess(image, SIZE, False)


def lossless_jpeg(side: int) -> bytes:
    """Return a gray image as lossless JPEG (ITU-T T.81, annex H): each pixel differs by 0 from the one before."""
    frame = b"\xff\xc3\x00\x0b\x08" + struct.pack(">HH", side, side) + b"\x01\x01\x11\x00"
    codes = b"\xff\xc4\x00\x14\x00" + bytes([1]) + bytes(15) + b"\x00"  # one code: the bit 0 for the difference 0
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00" + bytes(side * side // 8)
    return b"\xff\xd8" + frame + codes + scan + b"\xff\xd9"


def test_preprocess_of_a_lossless_jpeg_decodes_it_in_full() -> None:
    assert Image.open(io.BytesIO(lossless_jpeg(800))).size == (800, 800)
    assert (preprocess(lossless_jpeg(800), SIZE, False) == 128).all()  # Pillow crashes if it decodes at another scale


@pytest.mark.filterwarnings("ignore")
def test_preprocess_of_mutated_images_returns_an_array_or_raises_value_error() -> None:
    rng = random.Random(7)
    originals = [encode(gradient_image(), name) for name in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP")]
    num_decoded = 0
    for _ in range(1500):
        content = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(1, 8)):
            content[rng.randrange(min(len(content), 400))] = rng.randrange(256)
        try:
            array = preprocess(bytes(content), SIZE, False)
        except ValueError:
            continue
        num_decoded += 1
        assert array.shape == (1, *SIZE, 3) and array.dtype == np.uint8
    assert 0 < num_decoded < 1500


def test_preprocess_in_threads_leaves_the_warning_filters_unchanged() -> None:
    # warnings.catch_warnings is not thread-safe before Python 3.14: it can leave its filters behind.
    content, before = encode(gradient_image(), "JPEG"), list(warnings.filters)
    with ThreadPoolExecutor(8) as executor:
        arrays = list(executor.map(lambda _: preprocess(content, SIZE, False), range(8 * 500)))
    assert list(warnings.filters) == before
    assert all(np.array_equal(array, arrays[0]) for array in arrays)


@pytest.mark.parametrize("orientation", [0, 1, 9, 255])
def test_preprocess_of_an_image_with_an_invalid_orientation_does_not_rotate_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = preprocess(encode(gradient_image(), "PNG", exif=exif), SIZE, False)
    assert np.array_equal(pixels, preprocess(encode(gradient_image(), "PNG"), SIZE, False))
