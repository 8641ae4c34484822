"""classifier.serving.batcher: waiting requests share one call, and each gets its own predictions."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from classifier.serving.batcher import Batcher


class Network:
    """Predicts the value of each image. Its first call waits until `proceed` is set."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.proceed = threading.Event()

    def predict(self, images: np.ndarray) -> list[int]:
        self.calls.append(images.tolist())
        assert self.proceed.wait(30)
        if -1 in images:
            raise ValueError("bad batch")
        return images.tolist()


def run(network: Network, scenario: Callable[[Batcher], Awaitable[None]], num_threads: int = 1) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await scenario(Batcher(network.predict, max_images=8, num_threads=num_threads))

    asyncio.run(main())


async def start(batcher: Batcher, *requests: list[int]) -> list["asyncio.Task[list[int]]"]:
    """Start requests for images with these values, one after the other."""
    tasks = [asyncio.ensure_future(batcher.predict(np.array(request))) for request in requests]
    await asyncio.sleep(0)
    return tasks


def test_batcher_with_waiting_requests_predicts_them_in_one_call() -> None:
    network = Network()

    async def scenario(batcher: Batcher) -> None:
        tasks = await start(batcher, [1], [2], [3, 4], [5])
        network.proceed.set()
        assert await asyncio.gather(*tasks) == [[1], [2], [3, 4], [5]]

    run(network, scenario)
    assert network.calls == [[1], [2, 3, 4, 5]]


def test_batcher_calls_with_at_most_max_images_unless_one_request_has_more() -> None:
    network = Network()
    network.proceed.set()

    async def scenario(batcher: Batcher) -> None:
        await asyncio.gather(*await start(batcher, [0], [1] * 5, [2] * 4, [3] * 20, [4]))

    run(network, scenario)
    assert [len(call) for call in network.calls] == [1, 5, 4, 20, 1]


def test_batcher_with_two_threads_predicts_two_batches_at_once() -> None:
    network = Network()

    async def scenario(batcher: Batcher) -> None:
        tasks = await start(batcher, [1], [2], [3])
        while len(network.calls) < 2:
            await asyncio.sleep(0.001)
        network.proceed.set()
        await asyncio.gather(*tasks)

    run(network, scenario, num_threads=2)
    assert network.calls == [[1], [2], [3]]


def test_batcher_with_a_failed_call_raises_for_its_requests_only() -> None:
    network = Network()
    network.proceed.set()

    async def scenario(batcher: Batcher) -> None:
        first, bad, same_call = await start(batcher, [1], [-1], [2])
        assert await first == [1]
        for task in (bad, same_call):
            with pytest.raises(ValueError, match="bad batch"):
                await task
        assert await batcher.predict(np.array([3])) == [3]

    run(network, scenario)


def test_batcher_with_cancelled_requests_predicts_the_others() -> None:
    network = Network()

    async def scenario(batcher: Batcher) -> None:
        tasks = await start(batcher, [1], [2], [3])
        tasks[0].cancel()
        tasks[1].cancel()
        network.proceed.set()
        assert await tasks[2] == [3]
        assert await batcher.predict(np.array([4])) == [4]

    run(network, scenario)
