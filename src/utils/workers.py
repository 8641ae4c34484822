"""Who does the work: a process for each core of this machine, or a Dask cluster."""

import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

from utils.stage import Failure

ADDRESS = "DASK_SCHEDULER_ADDRESS"  # Dask's own variable


@dataclass(frozen=True)
class Workers:
    """Somebody who works on tasks, in any number of processes or machines."""

    executor: Executor
    number: int  # of tasks at a time

    def in_order(self, work: Callable, tasks: Iterable) -> Iterator[Any]:
        """`executor.map`, but never far ahead of who takes the results, so that memory stays flat."""
        pending: deque = deque()
        for task in tasks:
            pending.append(self.executor.submit(work, task))
            if len(pending) > 2 * self.number:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def hired() -> Iterator[Workers]:
    """The workers of the Dask cluster at DASK_SCHEDULER_ADDRESS, or this machine's cores where that is not set.

    Raises:
        Failure: no scheduler or no worker answers, or workers died of the work.
    """
    if os.environ.get(ADDRESS):
        with _cluster(os.environ[ADDRESS]) as workers:
            yield workers
        return
    cores = len(os.sched_getaffinity(0))
    try:
        # Not threads: a third of what Pillow does holds Python's lock. Forked, since a fresh one takes long to import.
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(cores, context, initializer=_stay_with_parent) as executor:
            yield Workers(executor, cores)
    except BrokenExecutor:
        raise Failure("a worker process died; is there enough memory?") from None


def _stay_with_parent() -> None:
    """Leave signals to the parent, and end when it ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    try:
        import cloudpickle
        import distributed
    except ImportError:
        raise Failure(
            f"{ADDRESS} is set, which needs Dask: pip install distributed (README, 'Many machines')"
        ) from None

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # one line from us says it
    # So that workers need no copy of this repository; scripts go by value in any case.
    for module in [module for name, module in sys.modules.items() if name.startswith("utils.")]:
        cloudpickle.register_pickle_by_value(module)
    try:
        client = distributed.Client(address, timeout=10)
        client.wait_for_workers(1, timeout=30)
        client.get_versions(check=True, packages=["PIL"])  # another Pillow may decode to other pixels
    except (OSError, ValueError) as error:
        raise Failure(f"{ADDRESS} is {address}, but no cluster works there: {' '.join(str(error).split())}") from None
    with client, client.get_executor() as executor:
        try:
            yield Workers(executor, sum(client.nthreads().values()))
        except (distributed.KilledWorker, CancelledError) as error:
            reason = " ".join(str(error).split()) or "its scheduler is gone"
            raise Failure(f"the cluster at {address} gave up: {reason}") from None
