"""classifier.serving.image_decoder: which images are decoded where, and no unreadable image stays in memory."""

import asyncio
import threading
import weakref
from typing import Never

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from classifier.images import preprocess
from classifier.serving.image_decoder import TINY_FILE_BYTES, ImageDecoder, decode, decode_if_small
from support.images import encode, gradient_image

TINY = encode(gradient_image(), "JPEG")
SMALL = encode(gradient_image(), "BMP")
LARGE = encode(Image.new("1", (1100, 1000)), "PNG")


def test_decode_unreadable_image_returns_a_message_that_does_not_keep_it() -> None:
    references = []

    def preprocess(_: bytes) -> Never:
        image = np.zeros(1)
        references.append(weakref.ref(image))
        raise ValueError("not a readable image: the reason") from OSError()

    assert decode(preprocess, b"") == "not a readable image: the reason"
    assert references[0]() is None


@pytest.mark.parametrize(
    ("content", "is_large"),
    [
        (encode(Image.new("RGB", (10, 10)), "PNG"), False),
        (LARGE, True),
        (encode(Image.new("L", (4000, 3000)), "JPEG"), False),
        (encode(Image.new("L", (4200, 4000)), "JPEG"), True),
        (encode(Image.new("L", (2100, 2000)), "JPEG", progressive=True), True),
        (b"no image", True),
    ],
)
def test_decode_if_small_leaves_large_images_to_the_other_pool(content: bytes, is_large: bool) -> None:
    assert decode_if_small(len, content) == (None if is_large else len(content))


def decode_in_service(content: bytes, number: int = 1) -> tuple[list[np.ndarray | str], list[bool]]:
    """Decode some copies of a file. Return the results, and for each whether it was decoded in the main thread."""
    in_main_thread = []

    def preprocess_here(image: bytes | Image.Image) -> np.ndarray:
        in_main_thread.append(threading.current_thread() is threading.main_thread())
        return preprocess(image, (8, 8), False)

    async def run() -> list[np.ndarray | str]:
        return await ImageDecoder(preprocess_here, num_threads=2, max_blocked_seconds=600).decode([content] * number)

    return asyncio.run(run()), in_main_thread


@pytest.mark.parametrize(
    ("content", "is_tiny"),
    [
        (TINY, True),
        (encode(gradient_image().convert("RGBA"), "PNG"), True),
        (encode(Image.new("L", (700, 700)), "JPEG"), True),
        (encode(Image.new("L", (800, 800)), "JPEG", quality=20), False),
        (encode(Image.new("L", (400, 400)), "JPEG", quality=20, progressive=True), False),
        (encode(Image.new("RGBA", (200, 200)), "PNG"), False),
        (TINY + bytes(2**13), False),
        (SMALL, False),
    ],
)
def test_single_tiny_image_is_decoded_without_a_thread(content: bytes, is_tiny: bool) -> None:
    (image,), in_main_thread = decode_in_service(content)
    assert in_main_thread == [is_tiny]
    assert np.array_equal(image, preprocess(content, (8, 8), False))


@pytest.mark.parametrize("content", [TINY, SMALL, LARGE])
def test_several_images_are_decoded_in_threads(content: bytes) -> None:
    images, in_main_thread = decode_in_service(content, 3)
    assert in_main_thread == [False] * 3
    assert np.array_equal(images, [preprocess(content, (8, 8), False)] * 3)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("content", [b"no image", TINY[:2], TINY[:200], TINY[:-100]])
def test_unreadable_image_gives_the_message_of_preprocess(content: bytes, number: int) -> None:
    with pytest.raises(ValueError, match="not a readable image") as raised:
        preprocess(content, (8, 8), False)
    assert decode_in_service(content, number)[0] == [str(raised.value)] * number


def test_tiny_image_with_damaged_metadata_is_read() -> None:
    metadata = PngInfo()
    metadata.add_text("name", "a" * 2**21, zip=True)
    content = encode(gradient_image(), "PNG", pnginfo=metadata)
    assert len(content) < TINY_FILE_BYTES
    assert np.array_equal(decode_in_service(content)[0][0], preprocess(content, (8, 8), False))
