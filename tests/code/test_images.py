"""classifier.images: any image becomes the configured array, or one documented error."""

import io
import random
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from classifier.images import FORMATS, IMAGE_EXTENSIONS, MAX_PIXELS, postprocess, preprocess
from support.images import encode, gradient_image

SIZE = (10, 12)
LAB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        encode(gradient_image(), "JPEG"),
        encode(gradient_image(), "JPEG", progressive=True),
        encode(gradient_image("CMYK"), "JPEG"),
        encode(gradient_image("L"), "JPEG"),
        encode(gradient_image("RGBA"), "PNG"),
        encode(gradient_image("LA"), "PNG"),
        encode(gradient_image("P"), "PNG", transparency=3),
        encode(gradient_image("1"), "PNG"),
        encode(gradient_image("P"), "GIF", save_all=True, append_images=[gradient_image("P")]),
        encode(Image.fromarray(np.full((9, 7), 65535, np.uint16)), "PNG"),
        encode(Image.fromarray(np.linspace(0, 1, 63, dtype=np.float32).reshape(9, 7)), "TIFF"),
        encode(Image.fromarray(np.full((9, 7), np.nan, np.float32)), "TIFF"),
        encode(gradient_image().resize((1, 1)), "PNG"),
        encode(gradient_image().resize((3000, 1)), "PNG"),
        encode(gradient_image("YCbCr"), "JPEG"),
        encode(gradient_image(), "JPEG", icc_profile=LAB_PROFILE),
    ],
)
def test_preprocess_of_any_mode_returns_the_configured_array(content: bytes, grayscale: bool) -> None:
    array = preprocess(content, SIZE, grayscale)
    assert array.shape == (1, *SIZE, 1 if grayscale else 3)
    assert array.dtype == np.uint8


def test_preprocess_of_path_bytes_file_and_image_returns_equal_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(gradient_image(), "PNG"))
    expected = preprocess(path, SIZE, False)
    for image in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path), gradient_image()):
        assert np.array_equal(preprocess(image, SIZE, False), expected)


@pytest.mark.parametrize("format_name", FORMATS)
def test_preprocess_decodes_each_documented_format_whatever_its_extension(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encode(gradient_image(), format_name))
    array = preprocess(path, SIZE, False)
    assert np.abs(array.astype(int) - preprocess(gradient_image(), SIZE, False)).mean() < 20


def test_preprocess_decodes_the_first_image_of_a_camera_file(tmp_path: Path) -> None:
    content = encode(gradient_image(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    assert Image.open(io.BytesIO(content)).format == "MPO"  # several JPEG images in one .jpg file
    assert np.array_equal(preprocess(content, SIZE, False), preprocess(encode(gradient_image(), "JPEG"), SIZE, False))


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
        (None, b""),
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


def test_image_extensions_are_those_of_the_formats() -> None:
    extensions = Image.registered_extensions()
    assert {extensions[extension] for extension in IMAGE_EXTENSIONS} == set(FORMATS)


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "TIFF"}, {"format": "WEBP", "lossless": True}])
def test_preprocess_applies_the_exif_orientation(options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # display it rotated by 90 degrees clockwise
    rotated = preprocess(encode(gradient_image(), exif=exif, **options), SIZE, False)
    assert np.array_equal(rotated, preprocess(gradient_image().rotate(-90, expand=True), SIZE, False))


def test_preprocess_keeps_the_brightness_of_16_bit_images() -> None:
    gray = Image.fromarray(np.full((9, 7), 0x8000, np.uint16))
    assert (preprocess(encode(gray, "PNG"), SIZE, True) == 128).all()


def test_preprocess_draws_transparent_pixels_black() -> None:
    assert (preprocess(Image.new("RGBA", (9, 9), (255, 255, 255, 0)), SIZE, False) == 0).all()


def test_preprocess_takes_height_before_width() -> None:
    assert preprocess(gradient_image(), (5, 9), True).shape == (1, 5, 9, 1)


@pytest.mark.parametrize("content", [encode(gradient_image(), "JPEG")[:-200], encode(gradient_image(), "PNG")[:60]])
def test_preprocess_of_damaged_images_raises_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable image"):
        preprocess(content, SIZE, False)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a small PNG file whose header names another size."""
    content = bytearray(encode(Image.new("1", (1, 1)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (30_000, 30_000, "900000000 pixels"),
        (10_000, 10_000, "10000 x 10000 pixels are more than 89,478,485"),
        (MAX_PIXELS + 1, 1, "pixels are more than"),
    ],
)
def test_preprocess_rejects_too_many_pixels_before_decoding(width: int, height: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preprocess(png_that_claims(width, height), SIZE, False)


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


def test_postprocess_returns_a_prediction_and_a_distribution() -> None:
    result = postprocess(np.array([[1.0, 3.0, -2000.0]], np.float32), ["a", "b", "c"])
    assert result["prediction"] == "b"
    assert sum(result["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("logits", [np.zeros((2, 3)), np.zeros((1, 2)), np.array([[1, np.nan, 2]])])
def test_postprocess_rejects_other_shapes_and_values_that_are_not_finite(logits: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(1, 3\)"):
        postprocess(logits, ["a", "b", "c"])
