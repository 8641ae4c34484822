"""preprocess: any picture becomes the configured array, or one documented error."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageCms

from utils import images

SIZE = (10, 12)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:40, :60]
    return Image.fromarray(np.stack([x * 4, y * 6, 255 - x * 2], axis=2).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        encoded(picture(), "JPEG"),
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture("CMYK"), "JPEG"),
        encoded(picture("L"), "JPEG"),
        encoded(picture("RGBA"), "PNG"),
        encoded(picture("LA"), "PNG"),
        encoded(picture("P"), "PNG", transparency=3),
        encoded(picture("1"), "PNG"),
        encoded(picture("P"), "GIF", save_all=True, append_images=[picture("P")]),
        encoded(Image.fromarray(np.full((9, 7), 65535, np.uint16)), "PNG"),
        encoded(Image.fromarray(np.linspace(0, 1, 63, dtype=np.float32).reshape(9, 7)), "TIFF"),
        encoded(Image.fromarray(np.full((9, 7), np.nan, np.float32)), "TIFF"),
        encoded(picture().resize((1, 1)), "PNG"),
        encoded(picture().resize((3000, 1)), "PNG"),
        encoded(picture("YCbCr"), "JPEG"),
        encoded(picture(), "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()),
    ],
)
def test_every_mode_becomes_the_configured_one(content: bytes, grayscale: bool) -> None:
    array = images.preprocess(content, SIZE, grayscale)
    assert array.shape == (1, *SIZE, 1 if grayscale else 3)
    assert array.dtype == np.uint8


def test_path_bytes_file_and_image_give_the_same(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(), "PNG"))
    expected = images.preprocess(path, SIZE, False)
    for same in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path), picture()):
        assert np.array_equal(images.preprocess(same, SIZE, False), expected)


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "TIFF"}, {"format": "WEBP", "lossless": True}])
def test_orientation_is_honoured(options: dict) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    turned = images.preprocess(encoded(picture(), exif=exif, **options), SIZE, False)
    assert np.array_equal(turned, images.preprocess(picture().rotate(-90, expand=True), SIZE, False))


def test_sixteen_bits_keep_their_brightness() -> None:
    gray = Image.fromarray(np.full((9, 7), 0x8000, np.uint16))
    assert (images.preprocess(encoded(gray, "PNG"), SIZE, True) == 128).all()


def test_transparent_is_black() -> None:
    assert (images.preprocess(Image.new("RGBA", (9, 9), (255, 255, 255, 0)), SIZE, False) == 0).all()


def test_image_size_is_height_and_width() -> None:
    assert images.preprocess(picture(), (5, 9), True).shape == (1, 5, 9, 1)


@pytest.mark.parametrize("content", [b"", b"text", encoded(picture(), "JPEG")[:-200], encoded(picture(), "PNG")[:60]])
def test_broken_pictures_are_value_errors(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a readable picture"):
        images.preprocess(content, SIZE, False)


def test_decompression_bombs_are_refused_unread() -> None:
    bomb = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    with pytest.raises(ValueError, match="900000000 pixels"):
        images.preprocess(bomb, SIZE, False)
    with pytest.raises(ValueError, match="too many"):
        images.preprocess(encoded(Image.new("1", (10_000, 10_000)), "PNG"), SIZE, False)


def test_mutated_pictures_give_an_array_or_a_value_error() -> None:
    chance = random.Random(7)
    originals = [encoded(picture(), f) for f in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP")]
    read = 0
    for _ in range(1500):
        content = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 8)):
            content[chance.randrange(min(len(content), 400))] = chance.randrange(256)
        try:
            array = images.preprocess(bytes(content), SIZE, False)
        except ValueError:
            continue
        read += 1
        assert array.shape == (1, *SIZE, 3) and array.dtype == np.uint8
    assert 0 < read < 1500


def test_postprocess_is_a_distribution() -> None:
    answer = images.postprocess(np.array([[1.0, 3.0, -2000.0]], np.float32), ["a", "b", "c"])
    assert answer["prediction"] == "b"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    for wrong in (np.zeros((2, 3)), np.zeros((1, 2)), np.array([[1, np.nan, 2]])):
        with pytest.raises(ValueError):
            images.postprocess(wrong, ["a", "b", "c"])
