"""classifier.serving.decoding_pool: blocked threads are noticed, and no image stays in memory."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import weakref

import numpy as np

from classifier.serving.decoding_pool import DecodingPool
from support.commands import ROOT

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
