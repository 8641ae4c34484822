"""classifier.serving.decoding_pool: blocked threads are noticed, large images recognised, and none stays in memory."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import weakref
from typing import Never

import numpy as np
import pytest
from PIL import Image

from classifier.serving.decoding_pool import DecodingPool, decode, decode_if_small
from support.commands import ROOT
from support.images import encode

BLOCKED = """
import threading
from classifier.serving.decoding_pool import DecodingPool
pool = DecodingPool(2, max_blocked_seconds=0.1)
for _ in range(2):
    pool.submit(threading.Event().wait)
threading.Event().wait()
"""


def test_process_ends_when_all_threads_are_blocked() -> None:
    command = (sys.executable, "-c", BLOCKED)
    result = subprocess.run(command, cwd=ROOT / "src", capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr == "all decoding threads are blocked; this process ends, and a new one starts\n"


def test_blocked_seconds_counts_only_while_no_thread_is_free() -> None:
    pool = DecodingPool(2, max_blocked_seconds=600)
    end, started = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        started.release()
        end.wait()

    first = pool.submit(block)
    started.acquire()
    assert pool.blocked_seconds() == 0
    second = pool.submit(block)
    started.acquire()
    assert pool.blocked_seconds() > 0
    end.set()
    first.result()
    second.result()
    assert pool.blocked_seconds() == 0


def test_run_cancelled_while_it_waits_does_not_keep_its_argument() -> None:
    end = threading.Event()

    async def run() -> None:
        pool = DecodingPool(1, max_blocked_seconds=600)
        blocked = asyncio.create_task(pool.run(end.wait))
        image, calls = np.zeros(1), []
        reference = weakref.ref(image)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool.run(calls.append, image), 0.1)
            del image
            assert reference() is None
        finally:
            end.set()
        await blocked
        assert await pool.run(len, "abc") == 3
        assert calls == []

    asyncio.run(run())


def test_decode_unreadable_image_raises_an_error_that_does_not_keep_it() -> None:
    references = []

    def preprocess(_: bytes) -> Never:
        image = np.zeros(1)
        references.append(weakref.ref(image))
        raise ValueError("not a readable image: the reason") from OSError()

    with pytest.raises(ValueError, match=r"^not a readable image: the reason$") as raised:
        decode(preprocess, b"")
    assert isinstance(raised.value, ValueError)
    assert references[0]() is None


@pytest.mark.parametrize(
    ("content", "is_large"),
    [
        (encode(Image.new("RGB", (10, 10)), "PNG"), False),
        (encode(Image.new("1", (1100, 1000)), "PNG"), True),
        (encode(Image.new("L", (4000, 3000)), "JPEG"), False),
        (encode(Image.new("L", (4200, 4000)), "JPEG"), True),
        (encode(Image.new("L", (2100, 2000)), "JPEG", progressive=True), True),
        (b"no image", True),
    ],
)
def test_decode_if_small_leaves_large_images_to_the_other_pool(content: bytes, is_large: bool) -> None:
    assert decode_if_small(len, content) == (None if is_large else len(content))
