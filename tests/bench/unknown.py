"""How well does the model notice classes that it was not trained on?

    python tests/bench/unknown.py data/raw
    python tests/bench/unknown.py data/raw --folds 3

Divides the classes into groups, trains once without each group, and prints which share of its images the model rejects
as unknown. For comparison: the share that a limit for the confidence rejects, where the limit rejects as many known
images (1 %).
"""

import argparse
import csv
import json
import tempfile
from pathlib import Path

from project import run_script, train_without


def evaluate_without(classes: list[Path], raw_dir: Path, folder: Path) -> tuple[float, float, float]:
    """Train without some classes; return the share of rejected test images, of rejected images, and by confidence."""
    project = train_without([path.name for path in classes], raw_dir, folder)
    with (project / "evaluation/predictions.csv").open() as file:
        known = sorted(float(row["confidence"]) for row in csv.DictReader(file))
    rows = list(csv.DictReader(run_script(project, "src/predict.py", *map(str, classes), "--csv").splitlines()))
    by_confidence = sum(float(row["confidence"]) < known[len(known) // 100] for row in rows) / len(rows)
    rejected = sum(row["known"] == "false" for row in rows) / len(rows)
    return json.loads((project / "evaluation/metrics.json").read_text())["rejected"], rejected, by_confidence


def main() -> None:
    """Print one row per group of classes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("raw_dir", type=Path)
    parser.add_argument("--folds", type=int, default=5, help="the number of groups")
    args = parser.parse_args()
    classes = sorted(path for path in args.raw_dir.resolve().iterdir() if path.is_dir())
    print("| left out | test images rejected | left out: rejected | left out: rejected by confidence |")
    print("|---|---:|---:|---:|")
    for fold in range(args.folds):
        group = classes[fold :: args.folds]
        with tempfile.TemporaryDirectory() as folder:
            shares = evaluate_without(group, args.raw_dir, Path(folder, "project"))
        names = ", ".join(path.name for path in group)
        print(f"| {names} | {' | '.join(f'{share:.1%}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
