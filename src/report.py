"""Markdown report for a pull request: what the workspace changes, compared with another revision.

    python src/report.py main > report.md
    python src/report.py main --verify

Run `dvc repro` first. The report begins with the quality gates (the section `evaluate` of params.yaml). Then it says
whether the results that HEAD contains are reproduced: to the byte, in effect (the same inputs and test images, no
significant difference), or not, for example because inputs have changed since `dvc repro` ran. `--verify` prints only
this, and exits with status 1 if a gate failed, or if the results are not reproduced. The default revision is HEAD.

All data comes from the workspace and from Git, except what `dvc status` tells and the names of changed images: these
come from the DVC cache or the remote.
"""

import signal

from classifier.config import EvaluateParams, load_params
from classifier.reporting.class_sections import balance_section, classes_section, confusion_section, predictions_section
from classifier.reporting.formatting import truncate_to_limit
from classifier.reporting.gates import check_gates, gates_section
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
from classifier.reporting.snapshot import (
    dvc_list_stale_inputs,
    list_changed_files,
    load_snapshot,
    load_snapshot_from_git,
)
from classifier.reporting.statistics import compare_predictions
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import printable


def main(revision: str, verify: bool) -> int:
    """Print the report, or with `verify` only the verdict and the quality gates; return the exit status."""
    params = load_params(EvaluateParams)
    committed, base, current = load_snapshot_from_git("HEAD"), load_snapshot_from_git(revision), load_snapshot()
    verdict = judge_reproduction(committed, current, list_changed_files(), dvc_list_stale_inputs())
    comparison = compare_predictions(base, current)
    gates = check_gates(params, current, comparison)
    if verify:
        lines = describe_verdict(verdict, committed, current, printable)
        print(f"{verdict.level.value}: {lines[0]}", *lines[1:], sep="\n")
        print("".join(f"{gate.title}: {gate.comparison}.\n" for gate in gates), end="")
        return 1 if verdict.level is Level.NONE or not all(gate.is_passed for gate in gates) else 0
    if current.metric("val_acc") is None or not current.predictions:
        raise UserError("evaluation/ does not contain metrics.json and predictions.csv; run `dvc repro`")
    sections = (
        gates_section(gates),
        reproduction_section(verdict, committed, current),
        summary_section(base, current, comparison),
        metrics_section(base, current, comparison),
        balance_section(current),
        params_section(base, current),
        dataset_section(base, current),
        classes_section(base, current, comparison),
        curves_section(base, current),
        confusion_section(base, current),
        predictions_section(base, current),
    )
    print(truncate_to_limit([section for section in sections if section]))
    return 0


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument(
        "revision", nargs="?", default="HEAD", metavar="REVISION", help="compare with it (default: HEAD)"
    )
    parser.add_argument("--verify", action="store_true", help="check that results are reproduced and gates passed")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly in `report.py | head`
    run_cli(main, parser)
