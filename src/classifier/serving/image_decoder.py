"""Decode uploaded images: a single tiny one without a thread, others in threads, and large ones one at a time."""

import asyncio
import contextlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from classifier.decoding import PNG_SIGNATURE, open_image
from classifier.serving.decoding_pool import DecodingPool

LARGE_BYTES = 32 * 2**20  # images that may need more are decoded one at a time
TINY_BYTES = 2**20  # images that may need more are not tiny
TINY_FILE_BYTES = 2**13
TINY_SIGNATURES = b"\xff\xd8\xff", PNG_SIGNATURE  # JPEG and PNG; some other decoders start threads
JPEG_BYTES_PER_PIXEL = 2  # at reduced scale
PROGRESSIVE_JPEG_BYTES_PER_PIXEL = 8  # with the coefficients of all scans
BYTES_PER_PIXEL = 34  # of the most expensive format, JPEG 2000

Preprocess = Callable[[bytes | Image.Image], np.ndarray]  # it raises ValueError if the image cannot be read


class ImageDecoder:
    """Turns the content of image files into model inputs. For one event loop."""

    def __init__(self, preprocess: Preprocess, num_threads: int, max_blocked_seconds: float) -> None:
        """Start the threads.

        Args:
            preprocess: from the bytes of a file, or a Pillow image that is not loaded yet, to an array.
            num_threads: the number of threads, besides the one for large images.
            max_blocked_seconds: see `DecodingPool`.
        """
        self.preprocess = preprocess
        self.pool, self.large_image_pool = (DecodingPool(n, max_blocked_seconds) for n in (num_threads, 1))

    def blocked_seconds(self) -> float:
        """Return for how long all threads, or the one for large images, have been blocked."""
        return max(pool.blocked_seconds() for pool in (self.pool, self.large_image_pool))

    async def decode(self, contents: list[bytes]) -> list[np.ndarray | str]:
        """Return for each file what `preprocess` returns, or why it is not a readable image."""
        if len(contents) == 1 and (image := self._decode_tiny(contents[0])) is not None:
            return [image]
        return await asyncio.gather(*map(self._decode, contents))

    def _decode_tiny(self, content: bytes) -> np.ndarray | None:
        """Return what `preprocess` returns, or None if the image is not tiny or cannot be read.

        A change of threads takes longer than decoding a tiny image: less than a millisecond, or 30 ms with malicious
        metadata or scans.
        """
        if len(content) <= TINY_FILE_BYTES and content.startswith(TINY_SIGNATURES):
            with contextlib.suppress(Exception), open_image(content) as image:
                if estimate_bytes(image) <= TINY_BYTES:
                    return self.preprocess(image)
        return None

    async def _decode(self, content: bytes) -> np.ndarray | str:
        image = await self.pool.run(decode_if_small, self.preprocess, content)
        return await self.large_image_pool.run(decode, self.preprocess, content) if image is None else image


def decode(preprocess: Preprocess, content: bytes) -> np.ndarray | str:
    """Return what `preprocess` returns, or the message of its error, which itself would keep the image in memory."""
    try:
        return preprocess(content)
    except ValueError as error:
        return str(error)


def decode_if_small(preprocess: Preprocess, content: bytes) -> np.ndarray | str | None:
    """Return what `decode` returns, or None if decoding may need more than LARGE_BYTES, by the header."""
    return None if is_large(content) else decode(preprocess, content)


def is_large(content: bytes) -> bool:
    """Return whether decoding may need more than LARGE_BYTES. Without a readable header, it may."""
    with contextlib.suppress(Exception), open_image(content) as image:  # `preprocess` reports what Pillow raises
        return estimate_bytes(image) > LARGE_BYTES
    return True


def estimate_bytes(image: Image.Image) -> int:
    """Return how much memory decoding an image may need."""
    per_pixel = BYTES_PER_PIXEL
    if image.format == "JPEG":
        per_pixel = PROGRESSIVE_JPEG_BYTES_PER_PIXEL if "progressive" in image.info else JPEG_BYTES_PER_PIXEL
    return image.width * image.height * per_pixel
