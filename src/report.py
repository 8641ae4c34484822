"""Markdown report for a pull request: what the workspace changes, compared with another revision.

    python src/report.py main > report.md
    python src/report.py --verify

Run `dvc repro` first. The first line says whether the results that HEAD contains come out again: to the byte, in
effect (the same inputs and test images, no significant difference), or not. `--verify` prints only that, and exits with
status 1 if they do not.

All data comes from the workspace and from Git, except the names of changed images: these come from the DVC cache or the
remote.
"""

from classifier.reporting.class_sections import classes_section, confusion_section, predictions_section
from classifier.reporting.formatting import truncate_to_limit
from classifier.reporting.reproduction import Level, judge_reproduction
from classifier.reporting.sections import (
    curves_section,
    dataset_section,
    describe_verdict,
    metrics_section,
    params_section,
    reproduction_section,
    summary_section,
)
from classifier.reporting.snapshot import list_changed_files, load_snapshot, load_snapshot_from_git
from classifier.reporting.statistics import compare_predictions
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import printable


def main(revision: str | None, verify: bool) -> int:
    """Print the report, or with `verify` the verdict alone; return the exit status."""
    committed, head = load_snapshot_from_git("HEAD"), load_snapshot()
    verdict = judge_reproduction(committed, head, list_changed_files())
    if revision is None or verify:
        lines = describe_verdict(verdict, committed, head, printable)
        print(f"{verdict.level.value}: {lines[0]}", *lines[1:], sep="\n")
        return 1 if verdict.level is Level.NONE else 0
    base = load_snapshot_from_git(revision)
    if head.metric("val_acc") is None or not head.predictions:
        raise UserError("evaluation/ does not contain metrics.json and predictions.csv; run `dvc repro`")
    comparison = compare_predictions(base, head)
    sections = (
        reproduction_section(verdict, committed, head),
        summary_section(base, head, comparison),
        metrics_section(base, head, comparison),
        params_section(base, head),
        dataset_section(base, head),
        classes_section(base, head, comparison),
        curves_section(base, head),
        confusion_section(base, head),
        predictions_section(base, head),
    )
    print(truncate_to_limit([section for section in sections if section]))
    return 0


if __name__ == "__main__":
    parser = make_parser(__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("revision", nargs="?", metavar="REVISION", help="the Git revision to compare with")
    group.add_argument("--verify", action="store_true", help="say whether the committed results are reproduced")
    run_cli(main, parser)
