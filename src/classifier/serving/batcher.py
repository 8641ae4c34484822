"""Predict the images of concurrent requests in one call of the network.

BentoML's own batching (`@bentoml.api(batchable=True)`) does not serve here: BentoML then reads the request itself, and
its form parser has no limits (see `uploads.py`).
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

_Request = tuple[np.ndarray, asyncio.Future[list[Any]]]  # its images, and its predictions


class Batcher:
    """While the network is busy, requests wait, and the next call predicts the images of all of them.

    A request never waits for another one to come. The predictions do not depend on the batch (see `Predictor`). For one
    event loop.
    """

    def __init__(self, predict: Callable[[np.ndarray], list[Any]], max_images: int, num_threads: int) -> None:
        """Start the threads.

        Args:
            predict: returns one prediction for each of N images. It must be safe to use from several threads.
            max_images: the largest number of images in one call, unless one request has more.
            num_threads: the number of calls at the same time.
        """
        self._predict, self._max_images, self._num_free = predict, max_images, num_threads
        self._executor = ThreadPoolExecutor(num_threads)
        self._waiting: list[_Request] = []

    async def predict(self, images: np.ndarray) -> list[Any]:
        """Return one prediction for each image, an array of shape (N, height, width, channels)."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((images, future))
        self._start_calls()
        return await future

    def _start_calls(self) -> None:
        while self._num_free and self._waiting:
            requests = self._take_requests()
            images = np.concatenate([images for images, _ in requests])
            call = asyncio.get_running_loop().run_in_executor(self._executor, self._predict, images)
            self._num_free -= 1
            call.add_done_callback(partial(self._end_call, requests))

    def _take_requests(self) -> list[_Request]:
        num_requests, num_images = 0, 0
        for images, _ in self._waiting:
            num_images += len(images)
            if num_requests and num_images > self._max_images:
                break
            num_requests += 1
        taken, self._waiting = self._waiting[:num_requests], self._waiting[num_requests:]
        return taken

    def _end_call(self, requests: list[_Request], call: asyncio.Future[list[Any]]) -> None:
        self._num_free += 1
        self._start_calls()
        start = 0
        for images, future in requests:
            end = start + len(images)
            if not future.done():  # its client has gone, or it waited for too long
                if error := call.exception():
                    future.set_exception(error)
                else:
                    future.set_result(call.result()[start:end])
            start = end
