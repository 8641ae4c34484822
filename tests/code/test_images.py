"""classifier.images: any image becomes the configured array, or one documented error."""

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pi_heif
import pytest
from PIL import Image, ImageCms

from classifier.decoding import FORMATS, IMAGE_EXTENSIONS, PNG_SIGNATURE
from classifier.images import preprocess
from support.images import HEIC, encode, gradient_image, rgb_profile

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


@pytest.mark.parametrize("format_name", sorted(FORMATS.keys() - {"HEIF"}))
def test_preprocess_decodes_each_documented_format_whatever_its_extension(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encode(gradient_image(), format_name))
    array = preprocess(path, SIZE, False)
    assert np.abs(array.astype(int) - preprocess(gradient_image(), SIZE, False)).mean() < 20


def test_preprocess_decodes_heic_with_pi_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = preprocess(HEIC, SIZE, False)[0].astype(int)
    assert np.abs(pixels[:, 0] - (20, 60, 200)).max() < 5
    assert np.abs(pixels[:, -1] - (200, 60, 40)).max() < 5
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # as if it was not installed
    with pytest.raises(ValueError, match=r"HEIC images need the package pi-heif; install it, or convert the image"):
        preprocess(HEIC, SIZE, False)


def test_preprocess_decodes_the_first_image_of_a_camera_file(tmp_path: Path) -> None:
    content = encode(gradient_image(), "MPO", save_all=True, append_images=[Image.new("RGB", (60, 40))])
    assert Image.open(io.BytesIO(content)).format == "MPO"  # several JPEG images in one .jpg file
    assert np.array_equal(preprocess(content, SIZE, False), preprocess(encode(gradient_image(), "JPEG"), SIZE, False))


def test_image_extensions_are_those_of_the_formats() -> None:
    pi_heif.register_heif_opener()
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


def gray_png(bits: int, *chunks: bytes) -> bytes:
    """Return a white PNG of 8 x 8 pixels with one channel of 1 to 16 bits, and with more chunks."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 8, 8, bits, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress((b"\x00" + b"\xff" * bits) * 8)
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, *chunks, pixels, b"IEND")
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_preprocess_draws_the_transparent_color_of_a_gray_png_black(bits: int) -> None:
    assert (preprocess(gray_png(bits), SIZE, False) == 255).all()
    assert (preprocess(gray_png(bits, b"tRNS" + struct.pack(">H", 2**bits - 1)), SIZE, False) == 0).all()
    assert (preprocess(gray_png(bits, b"tRNS" + struct.pack(">H", 2**bits - 2)), SIZE, False) == 255).all()


@pytest.mark.parametrize(
    "chunk",
    [
        b"zTXtcomment\x00\x00" + zlib.compress(bytes(2**21)),
        b"iTXtcomment\x00\x01\x00\x00\x00" + zlib.compress(bytes(2**21)),
        b"iCCPprofile\x00\x00" + zlib.compress(bytes(2**21)),
        b"zTXtRaw profile type exif\x00\x00" + zlib.compress(b"\nexif\n8\nnot hexadecimal"),
        b"eXIfnot EXIF",
        b"tIMEx",
        b"gAMA",
    ],
)
def test_preprocess_of_a_png_ignores_unusual_metadata(chunk: bytes) -> None:
    assert (preprocess(gray_png(8, chunk), SIZE, False) == 255).all()


def test_preprocess_of_a_tiff_with_premultiplied_alpha_draws_it_over_black() -> None:
    content = encode(Image.new("LA", (9, 7), (60, 100)), "TIFF")
    start = content.index(struct.pack("<HHI", 338, 3, 1)) + 8  # ExtraSamples
    assert content[start] == 2  # alpha that is not premultiplied
    premultiplied = content[:start] + b"\x01" + content[start + 1 :]
    assert Image.open(io.BytesIO(premultiplied)).mode == "La"
    assert (preprocess(premultiplied, SIZE, False) == 60).all()
    assert (preprocess(content, SIZE, False) == 24).all()  # 60 * 100 / 255


def test_preprocess_draws_transparent_pixels_black() -> None:
    assert (preprocess(Image.new("RGBA", (9, 9), (255, 255, 255, 0)), SIZE, False) == 0).all()


@pytest.mark.parametrize("gamma", [1.8, 2.2])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_preprocess_converts_colors_from_the_profile_to_srgb(gamma: float, format_name: str) -> None:
    profile = rgb_profile(gamma)
    image = gradient_image().resize((240, 160))
    other = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), io.BytesIO(profile))
    other.info.clear()
    expected = preprocess(image, SIZE, False).astype(int)
    as_srgb, as_other = (encode(other, format_name, quality=95, **o) for o in ({}, {"icc_profile": profile}))
    assert np.abs(preprocess(as_srgb, SIZE, False) - expected).mean() > 6
    assert np.abs(preprocess(as_other, SIZE, False) - expected).mean() < 2


def test_preprocess_ignores_profiles_that_are_damaged_of_another_mode_or_srgb() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode in ("RGB", "L"):
        expected = preprocess(encode(gradient_image(mode), "PNG"), SIZE, False)
        for profile in (srgb, LAB_PROFILE, rgb_profile(1.8)[:200], b"?" * 500):
            content = encode(gradient_image(mode), "PNG", icc_profile=profile)
            assert np.array_equal(preprocess(content, SIZE, False), expected)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
@pytest.mark.parametrize("scale", [8, 40])
def test_preprocess_of_a_large_image_is_close_to_one_exact_resize(format_name: str, scale: int) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(noise).resize((60 * scale, 40 * scale), Image.Resampling.BICUBIC)
    expected = np.asarray(image.resize((12, 10), Image.Resampling.BILINEAR), int)
    difference = np.abs(preprocess(encode(image, format_name, quality=95), SIZE, False)[0] - expected)
    assert difference.mean() < 1


def test_preprocess_of_16_bit_pgm_and_png_is_equal() -> None:
    values = (np.arange(63, dtype=np.uint16).reshape(9, 7) * 500) + 9000
    png, pgm = (encode(Image.fromarray(values), name) for name in ("PNG", "PPM"))
    assert np.array_equal(preprocess(png, SIZE, True), preprocess(pgm, SIZE, True))


def test_preprocess_of_values_without_a_fixed_range_uses_their_minimum_and_maximum() -> None:
    values = np.array([[-5, np.nan], [np.inf, 15]], np.float32).repeat(400, 0).repeat(400, 1)
    array = preprocess(encode(Image.fromarray(values), "TIFF"), values.shape, True)[0, :, :, 0]
    assert np.array_equal(array, np.array([[0, 63], [63, 255]]).repeat(400, 0).repeat(400, 1))


def test_preprocess_takes_height_before_width() -> None:
    assert preprocess(gradient_image(), (5, 9), True).shape == (1, 5, 9, 1)
