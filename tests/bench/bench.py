"""What the stages cost, beside the same work with the stock libraries (stock.py), as the data grows.

    python tests/bench/bench.py                              # everything, about 30 minutes on two idle cores
    python tests/bench/bench.py --sizes 1 10 --stages prepare
    python tests/bench/bench.py --data ~/bench               # draw the pictures once, and keep them there

Every figure is of a whole process, imports and all, but for "an epoch" (what more epochs cost more, at 60x one epoch
with imports), and "after import". Both sides take turns; of several runs the fastest counts. Ratios are stock to ours:
over 1, ours is better. All pictures are different, drawn by src/render.py.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
PER_CLASS = 146  # of 11 classes: the 1606 pictures of the sample dataset
REPEATS = {1: 3, 10: 2}  # runs, of which the fastest counts
EPOCHS = {1: 11, 10: 3}
TUTORIAL = {
    "prepare": {"seed": 77, "split": 0.2, "image_size": [32, 32], "grayscale": True},
    "train": {"seed": 77, "lr": 0.0001, "epochs": 5, "conv_size": 32, "dense_size": 64, "output_classes": 11},
}
OURS = {
    "prepare": (sys.executable, "src/prepare.py", "data/raw", "data/prepared"),
    "train": (sys.executable, "src/train.py", "data/prepared", "model"),
    "evaluate": (sys.executable, "src/evaluate.py", "model", "data/prepared"),
}
STOCK = (sys.executable, str(Path(__file__).with_name("stock.py")))
IMPORT = (
    "import sys; sys.path.insert(0, 'src'); from utils import package, plots, seed; seed.start(0); package._bentoml()"
)
BARE = """
import glob, os
from PIL import Image
files, cores = sorted(glob.glob("data/raw/*/*")), len(os.sched_getaffinity(0))
me = next((k for k in range(1, cores) if os.fork() == 0), 0)
for file in files[me::cores]:
    with Image.open(file) as image:
        image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR).tobytes()
if me == 0:
    for _ in range(1, cores):
        os.wait()
"""


@dataclass
class Cost:
    wall: float  # seconds
    cpu: float  # seconds
    peak: float  # MiB, the sum over all its processes, looked at ten times a second; shared pages count in each
    written: float  # MB to the file system


def measure(folder: Path, *command: str) -> Cost:
    """Run a command to its end, and with it all that it starts."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "bentoml"), "DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        peak = 0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            time.sleep(0.1 if time.perf_counter() - start > 5 else 0.02)
        wall = time.perf_counter() - start
        # Of a process that has ended and is not yet waited for; its own children's are in it.
        io = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"bench.py: {' '.join(command)} failed in {folder}:\n{output.read().decode()}")
    peak = max(peak / 2**20, usage.ru_maxrss / 2**10)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak, int(io["write_bytes"]) / 1e6)


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in family(int(child)))]


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def compete(repeats: int, *sides) -> list[Cost]:
    """Run the sides in turn, and give the fastest run of each."""
    runs = [[side() for side in sides] for _ in range(repeats)]
    return [min(costs, key=lambda cost: cost.wall) for costs in zip(*runs, strict=True)]


def fresh(folder: Path, *outputs: str) -> None:
    for output in outputs:
        shutil.rmtree(folder / output, ignore_errors=True)


def project(folder: Path, raw: Path, parameters: dict) -> Path:
    """A folder with the code, parameters, and the pictures as hard links, in the memory of the file system."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(raw, folder / "data" / "raw", copy_function=os.link)
    for picture in folder.glob("data/raw/*/*"):
        picture.read_bytes()  # so that who comes first does not wait for the disk alone
    os.sync()
    set_parameters(folder, parameters)
    return folder


def set_parameters(folder: Path, parameters: dict, **train: int) -> None:
    changed = {**parameters, "train": {**parameters["train"], **train}}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed))


def row(what: str, size: int, ours: Cost, stock: Cost, work: int) -> None:
    """Print a line of the table; `work` is the number of pictures."""
    ratios = (stock.wall / ours.wall, stock.cpu / ours.cpu, stock.peak / ours.peak, stock.written / ours.written)
    cells = [what, f"{size}x", *(f"{ratio:.1f}" if ratio < 100 else "" for ratio in ratios)]
    for cost in (ours, stock):
        cells += [f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{work / cost.wall:,.0f}"]
        cells += [f"{cost.peak:.0f}", f"{cost.written:.1f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def bench_prepare(folder: Path, size: int, count: int) -> Cost:
    def ours() -> Cost:
        fresh(folder, "data/prepared")
        return measure(folder, *OURS["prepare"])

    def stock() -> Cost:
        fresh(folder, "stock")
        return measure(folder, *STOCK, "prepare")

    def bare() -> Cost:
        return measure(folder, sys.executable, "-c", BARE)

    ours_cost, stock_cost, bare_cost = compete(REPEATS.get(size, 1), ours, stock, bare)
    row("prepare", size, ours_cost, stock_cost, count)
    notes.append(
        f"prepare, {size}x: {bare_cost.wall / ours_cost.wall:.0%} of the pictures a second of a bare decode-and-resize "
        f"loop ({count / bare_cost.wall:,.0f}), also imports and all"
    )
    return ours_cost


def bench_train(folder: Path, size: int, count: int, parameters: dict) -> Cost:
    """Whole runs of one epoch, and what each further one costs; stock with this project's network and threads."""

    def ours() -> Cost:
        fresh(folder, "model")
        return measure(folder, *OURS["train"])

    def stock() -> Cost:
        fresh(folder, "stock/model")
        return measure(folder, *STOCK, "train", "our-network")

    set_parameters(folder, parameters, epochs=1)
    first = compete(REPEATS.get(size, 1), ours, stock)
    row("train, 1 epoch and start", size, *first, count)
    if size in EPOCHS:
        set_parameters(folder, parameters, epochs=EPOCHS[size])
        more = compete(REPEATS.get(size, 1), ours, stock)
        each = [
            Cost((b.wall - a.wall) / (EPOCHS[size] - 1), (b.cpu - a.cpu) / (EPOCHS[size] - 1), b.peak, b.written)
            for a, b in zip(first, more, strict=True)
        ]
        row("train, an epoch more", size, *each, count)
    return first[0]


def bench_evaluate(folder: Path, size: int, count: int) -> Cost:
    def ours() -> Cost:
        fresh(folder, "evaluation")
        return measure(folder, *OURS["evaluate"])

    def stock() -> Cost:
        fresh(folder, "stock/evaluation")
        return measure(folder, *STOCK, "evaluate")

    def imports() -> Cost:
        return measure(folder, sys.executable, "-c", IMPORT)

    ours_cost, stock_cost, import_cost = compete(REPEATS.get(size, 1), ours, stock, imports)
    row("evaluate", size, ours_cost, stock_cost, count // 5)
    notes.append(f"evaluate, {size}x: {ours_cost.wall - import_cost.wall:.1f} s after the import")
    return ours_cost


def bench_repro(folder: Path, raw: Path, size: int, count: int) -> None:
    """`dvc repro` with the tutorial's parameters, from nothing; stock with the tutorial's network, and with ours."""

    def repro(name: str, stages: dict) -> Cost:
        place = project(folder / name, raw, TUTORIAL)
        (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        measure(place, "dvc", "init", "--no-scm", "--quiet")
        cost = measure(place, "dvc", "repro")
        shutil.rmtree(place)
        return cost

    def stock(*network: str) -> Cost:
        def stage(name: str, dep: str, out: str) -> dict:
            return {"cmd": " ".join((*STOCK, name, *network)), "deps": [dep], "outs": [out], "params": ["prepare"]}

        return repro(
            "stock",
            {
                "prepare": stage("prepare", "data/raw", "stock/prepared"),
                "train": stage("train", "stock/prepared", "stock/model"),
                "evaluate": stage("evaluate", "stock/model", "stock/evaluation"),
            },
        )

    def ours() -> Cost:
        return repro("ours", yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])

    ours_cost, theirs, same = compete(1, ours, stock, lambda: stock("our-network"))
    row("dvc repro", size, ours_cost, theirs, count)
    row("dvc repro, stock with our network", size, ours_cost, same, count)


notes: list[str] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 10, 60], help="in sample datasets (1 10 60)")
    stages = ["prepare", "train", "evaluate", "repro"]
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages)
    parser.add_argument("--data", type=Path, help="a folder to keep the pictures in (a temporary one)")
    arguments = parser.parse_args()
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    start, ours = time.perf_counter(), {}
    print(f"{len(os.sched_getaffinity(0))} cores; ratios are stock to ours\n")
    print(f"| | size |{' ratio: wall | CPU | memory | written |'}{' s | CPU s | images/s | MiB | MB |' * 2}")
    print(f"|{'---|' * 2}{'---:|' * 14}", flush=True)
    # Beside the pictures, so that they can be linked.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.data) as scratch:
        for size in sorted(arguments.sizes):
            count = 11 * PER_CLASS * size
            raw = (arguments.data or Path(scratch)).resolve() / f"raw-{size}x"
            if not raw.exists():
                draw = (sys.executable, str(ROOT / "src/render.py"), str(raw), "--per-class", str(PER_CLASS * size))
                measure(Path(scratch), *draw)
            folder = project(Path(scratch, f"{size}x"), raw, parameters)
            if {"prepare", "train", "evaluate"} & set(arguments.stages):
                ours["prepare", size] = bench_prepare(folder, size, count)
            if {"train", "evaluate"} & set(arguments.stages):
                ours["train", size] = bench_train(folder, size, count, parameters)
            if "evaluate" in arguments.stages:
                ours["evaluate", size] = bench_evaluate(folder, size, count)
            shutil.rmtree(folder)
            if "repro" in arguments.stages and size <= 10:
                bench_repro(Path(scratch, "repro"), raw, size, count)
    for (stage, small), (other, large) in zip(sorted(ours), sorted(ours)[1:], strict=False):
        if stage == other:
            a, b = ours[stage, small], ours[stage, large]
            slope = math.log(b.wall / a.wall) / math.log(large / small)
            notes.append(
                f"{stage}, {small}x to {large}x: {b.wall / a.wall:.1f} times the time (slope {slope:.2f}), "
                f"{b.peak / a.peak:.2f} times the memory"
            )
    print("", *notes, f"all of this took {(time.perf_counter() - start) / 60:.0f} minutes", sep="\n")


if __name__ == "__main__":
    main()
