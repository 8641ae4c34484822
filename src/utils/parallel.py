"""Worker pools: local processes, or a Dask cluster."""

import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

from utils.errors import UserError

DASK_ADDRESS_VAR = "DASK_SCHEDULER_ADDRESS"  # Dask's own variable


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def bounded_map(executor: Executor, function: Callable[..., Any], tasks: Iterable[Any], limit: int) -> Iterator[Any]:
    """Yield `function(task)` in the order of the tasks, with at most `limit` pending tasks to bound memory.

    `Executor.map` submits all tasks at once before Python 3.14.
    """
    pending: deque[Future[Any]] = deque()
    for task in tasks:
        pending.append(executor.submit(function, task))
        if len(pending) >= limit:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(frozen=True)
class Pool:
    """A pool of local or remote workers."""

    executor: Executor
    num_workers: int
    is_remote: bool = False

    def imap(self, function: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield the results in the order of the tasks; see `bounded_map`."""
        # Plain pickle rejects a lambda, so Dask uses cloudpickle, which sends the code of the function, not its name.
        work = (lambda task: function(task)) if self.is_remote else function  # noqa: PLW0108
        return bounded_map(self.executor, work, tasks, limit=2 * self.num_workers)


@contextmanager
def worker_pool() -> Iterator[Pool]:
    """Yield a pool: the Dask cluster at DASK_SCHEDULER_ADDRESS, or one local process per core.

    Raises:
        UserError: the scheduler or its workers do not respond, or a worker crashed.
    """
    address = os.environ.get(DASK_ADDRESS_VAR)
    with dask_pool(address) if address else local_pool() as pool:
        yield pool


@contextmanager
def local_pool() -> Iterator[Pool]:
    """Yield a pool of one local process per core.

    Raises:
        UserError: a worker crashed.
    """
    num_workers = available_cores()
    try:
        # Processes, because Pillow holds the GIL a third of the time; forked, because spawn would import all again.
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(num_workers, context, initializer=_init_worker) as executor:
            yield Pool(executor, num_workers)
    except BrokenExecutor:
        raise UserError("a worker process crashed; is there enough memory?") from None


def _init_worker() -> None:
    """Leave signals to the parent process, and exit when the parent exits for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=exit_with_parent, daemon=True).start()


@contextmanager
def dask_pool(address: str) -> Iterator[Pool]:
    """Yield the workers of a Dask cluster.

    Raises:
        UserError: Dask is not installed, no worker responds, or the cluster failed.
    """
    try:
        import cloudpickle
        import distributed
    except ImportError:
        raise UserError(
            f"{DASK_ADDRESS_VAR} is set, but Dask is not installed: pip install distributed (.github/DEPLOYMENT.md)"
        ) from None

    # Errors are reported below. Dask sets the second level itself, so the first one does not cover it.
    for logger in ("distributed", "distributed.client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    # Send this project's modules to the workers, which have no copy of this repository.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("utils", "classifier"):
            cloudpickle.register_pickle_by_value(module)
    try:
        client = distributed.Client(address, timeout=10)
        client.wait_for_workers(1, timeout=30)
        client.get_versions(check=True, packages=["PIL"])  # another version of Pillow may decode to other pixels
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{DASK_ADDRESS_VAR} is {address}, but no cluster responds there: {reason}") from None
    with client, client.get_executor() as executor:
        try:
            yield Pool(executor, sum(client.nthreads().values()), is_remote=True)
        except (distributed.KilledWorker, CancelledError) as error:
            reason = " ".join(str(error).split()) or "its scheduler stopped"
            raise UserError(f"the cluster at {address} failed: {reason}") from None
