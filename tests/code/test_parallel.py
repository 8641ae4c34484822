"""utils.parallel: bounded maps and worker pools."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from utils.errors import UserError
from utils.parallel import DASK_ADDRESS_VAR, Pool, available_cores, bounded_map, worker_pool


def test_bounded_map_returns_results_in_the_order_of_the_tasks() -> None:
    with ThreadPoolExecutor(4) as executor:
        assert list(bounded_map(executor, lambda i: i * i, range(100), limit=7)) == [i * i for i in range(100)]
        assert list(bounded_map(executor, str, [], limit=7)) == []


def test_bounded_map_takes_at_most_limit_tasks_ahead() -> None:
    taken = 0

    def tasks():
        nonlocal taken
        for i in range(100):
            taken = i + 1
            yield i

    with ThreadPoolExecutor(4) as executor:
        for done, _ in enumerate(bounded_map(executor, str, tasks(), limit=7)):
            assert taken <= done + 1 + 7


def test_bounded_map_raises_the_error_of_a_task() -> None:
    with ThreadPoolExecutor(2) as executor, pytest.raises(ZeroDivisionError):
        list(bounded_map(executor, lambda i: 1 // i, [1, 0, 1], limit=2))


def test_pool_imap_keeps_all_workers_busy() -> None:
    barrier = threading.Barrier(3, timeout=10)  # passes only if three tasks run at the same time
    with ThreadPoolExecutor(3) as executor:
        assert len(list(Pool(executor, 3).imap(lambda _: barrier.wait(), range(9)))) == 9


def test_available_cores_with_one_allowed_core_is_one(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    assert available_cores() == 1


def test_worker_pool_without_dask_names_the_missing_package(monkeypatch) -> None:
    monkeypatch.setenv(DASK_ADDRESS_VAR, "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = "DASK_SCHEDULER_ADDRESS is set, but Dask is not installed: pip install"
    with pytest.raises(UserError, match=message), worker_pool():
        pass
