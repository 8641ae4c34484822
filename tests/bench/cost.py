"""Measure what a command costs: time, processor time, memory and writes, with all its child processes."""

import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """What a command costs, with all its child processes."""

    wall: float  # seconds
    cpu: float  # seconds
    peak: float  # MiB, sum over all processes, sampled ten times a second; shared pages count in each process
    written: float  # MB written to the file system


def measure(folder: Path, *command: str) -> Cost:
    """Run a command and measure it."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "bentoml"), "DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(map(resident_bytes, process_tree(process.pid))))
            time.sleep(0.1 if time.perf_counter() - start > 5 else 0.02)
        wall = time.perf_counter() - start
        # The process has ended and was not waited for yet. The values include those of its children.
        io = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"bench.py: {' '.join(command)} failed in {folder}:\n{output.read().decode()}")
    peak = max(peak / 2**20, usage.ru_maxrss / 2**10)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak, int(io["write_bytes"]) / 1e6)


def process_tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(descendant for child in children for descendant in process_tree(int(child)))]


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def alternate(repeats: int, *benchmarks: Callable[[], Cost]) -> list[Cost]:
    """Run the benchmarks alternately, and return the fastest run of each."""
    runs = [[benchmark() for benchmark in benchmarks] for _ in range(repeats)]
    return [min(costs, key=lambda cost: cost.wall) for costs in zip(*runs, strict=True)]


def print_row(label: str, size: int, ours: Cost, stock: Cost, num_images: int) -> None:
    """Print one row of the table: ratios, then the costs of both."""
    ratios = (stock.wall / ours.wall, stock.cpu / ours.cpu, stock.peak / ours.peak, stock.written / ours.written)
    cells = [label, f"{size}x", *(f"{ratio:.1f}" if ratio < 100 else "" for ratio in ratios)]
    for cost in (ours, stock):
        cells += [f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{num_images / cost.wall:,.0f}"]
        cells += [f"{cost.peak:.0f}", f"{cost.written:.1f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def describe_growth(costs: dict[tuple[str, int], Cost]) -> list[str]:
    """Return one line per stage and next larger dataset: how time and memory grow."""
    lines = []
    for (stage, small), (next_stage, large) in itertools.pairwise(sorted(costs)):
        if stage == next_stage:
            a, b = costs[stage, small], costs[stage, large]
            slope = math.log(b.wall / a.wall) / math.log(large / small)
            lines.append(
                f"{stage}, {small}x to {large}x: {b.wall / a.wall:.1f} times the time (slope {slope:.2f}), "
                f"{b.peak / a.peak:.2f} times the memory"
            )
    return lines
