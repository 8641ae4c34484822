"""Does training give the same bits on other processors? A sweep over networks, batch sizes and image sizes.

    python tests/bench/processors.py                                  # all configurations: hours under emulation
    python tests/bench/processors.py --every 6 --cpu Haswell EPYC-Rome
    python tests/bench/processors.py --here > here.json               # this processor, to compare with another machine

Trains each configuration for two steps and prints one row per configuration: a hash of weights and logits, natively and
under each processor model of qemu-user (Debian: `apt install qemu-user`; `qemu-x86_64 -cpu help`).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from utils import seed  # isort: split

import numpy as np

CPUS = ("Haswell", "Skylake-Server", "EPYC-Rome")
DEFAULTS: dict[str, Any] = {"image": [32, 32], "channels": 3, "conv": 32, "dense": 64, "classes": 11, "batch": 32}
CONFIGURATIONS: list[dict[str, Any]] = [
    {},
    {"channels": 1},
    {"image": [4, 4]},
    {"image": [5, 3]},
    {"image": [24, 20], "conv": 8, "dense": 32, "batch": 14},
    {"image": [28, 28], "channels": 1, "classes": 10},
    {"image": [32, 128], "batch": 8},
    {"image": [48, 48], "batch": 8},
    {"image": [64, 64], "batch": 8},
    {"image": [96, 96], "batch": 4},
    {"image": [100, 75], "batch": 4},
    {"image": [128, 128], "batch": 4},
    {"image": [224, 224], "batch": 2},
    {"conv": 1},
    {"conv": 5},
    {"conv": 10},
    {"conv": 16},
    {"conv": 48, "batch": 8},
    {"conv": 64, "batch": 8},
    {"conv": 128, "batch": 4},
    {"dense": 2},
    {"dense": 10},
    {"dense": 100},
    {"dense": 1024},
    {"dense": 8192, "batch": 8},
    {"classes": 2},
    {"classes": 1000},
    {"classes": 10_000, "batch": 8},
    {"batch": 2},
    {"batch": 3},
    {"batch": 64, "conv": 16},
    {"batch": 256, "conv": 8},
    {"image": [8, 8], "batch": 2048, "conv": 8},
]


def hash_configuration(c: dict[str, Any]) -> str:
    """Train the network of a configuration for two steps; return a hash of its weights and logits."""
    seed.set_seed(77)
    import keras

    from train import get_model

    keras.backend.clear_session()
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (c["batch"], *c["image"], c["channels"]), np.uint8)
    labels = rng.integers(0, c["classes"], c["batch"])
    model = get_model((*c["image"], c["channels"]), c["conv"], c["dense"], c["classes"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.002), loss)
    for _ in range(2):
        model.train_on_batch(images, labels)
    arrays = [*model.get_weights(), model.predict_on_batch(images)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:12]


def hash_here(configurations: list[dict[str, Any]]) -> None:
    """Print one JSON line per configuration."""
    for configuration in configurations:
        result = hash_configuration(DEFAULTS | configuration)
        print(json.dumps([result, configuration]), flush=True)


def run_as(cpu: str, configurations: list[dict[str, Any]]) -> list[str]:
    """Return the hashes of the configurations natively ("native") or under a processor model of qemu-user."""
    emulator = [] if cpu == "native" else ["qemu-x86_64", "-cpu", cpu]
    command = [*emulator, sys.executable, __file__, "--here", "--configurations", json.dumps(configurations)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ)
    if result.returncode:
        sys.exit(f"processors: {' '.join(command[:3])} failed: {result.stderr[-500:]}")
    return [json.loads(line)[0] for line in result.stdout.splitlines()]


def main() -> None:
    """Print the table; exit with 1 if a row has more than one hash."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cpu", nargs="+", default=CPUS, help="processor models of qemu-user")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth configuration")
    parser.add_argument("--here", action="store_true", help="only this processor, as JSON lines")
    parser.add_argument("--configurations", type=json.loads, default=CONFIGURATIONS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    configurations = args.configurations[:: args.every]
    if args.here:
        hash_here(configurations)
        return
    columns = {cpu: run_as(cpu, configurations) for cpu in ("native", *args.cpu)}
    print(f"| configuration | {' | '.join(columns)} | equal |\n|---|{'---|' * (len(columns) + 1)}")
    num_equal = 0
    for i, configuration in enumerate(configurations):
        hashes = [column[i] for column in columns.values()]
        is_equal = len(set(hashes)) == 1
        num_equal += is_equal
        print(f"| {json.dumps(configuration)} | {' | '.join(hashes)} | {'yes' if is_equal else '**no**'} |")
    print(f"\n{num_equal} of {len(configurations)} configurations are equal.")
    sys.exit(num_equal < len(configurations))


if __name__ == "__main__":
    main()
