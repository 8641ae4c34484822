"""Threads that decode images. The process ends if all of them are blocked."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

logger = logging.getLogger("bentoml.decoding_pool")  # a child of the logger that BentoML configures


class DecodingPool(ThreadPoolExecutor):
    """A thread pool that notices when all its threads are blocked. Its coroutines are for one event loop."""

    def __init__(self, num_threads: int, max_blocked_seconds: float) -> None:
        """Start to watch.

        Args:
            num_threads: the number of threads.
            max_blocked_seconds: the process ends when all threads are busy, and no call begins or ends, for longer. A
                thread cannot be stopped, and BentoML starts a new process.
        """
        super().__init__(num_threads)
        self.num_threads = num_threads
        self.free_threads = asyncio.Semaphore(num_threads)
        self.max_blocked_seconds = max_blocked_seconds
        self.num_running = 0
        self.last_change = time.monotonic()
        self.lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a thread, and return its result.

        A call waits here for a free thread, not in the executor's queue, which would keep the arguments of a cancelled
        call: the images of requests that timed out.
        """
        loop = asyncio.get_running_loop()
        await self.free_threads.acquire()
        future = self.submit(function, *args)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self.free_threads.release))
        return await asyncio.wrap_future(future)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a thread."""
        return super().submit(self._run, function, *args, **kwargs)

    def blocked_seconds(self) -> float:
        """Return for how long all threads have been busy without a call that began or ended."""
        with self.lock:
            return time.monotonic() - self.last_change if self.num_running >= self.num_threads else 0.0

    def _run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._count(1)
        try:
            return function(*args, **kwargs)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self.lock:
            self.num_running += change
            self.last_change = time.monotonic()

    def _watch(self) -> None:
        while self.blocked_seconds() <= self.max_blocked_seconds:
            time.sleep(min(1, self.max_blocked_seconds / 4))
        logger.error("all decoding threads are blocked; this process ends, and a new one starts")
        os._exit(1)
