"""Drift: compare the prediction log of the service with the predictions for the held-out images.

    python src/monitor.py /folder                        # the folder that PREDICTION_LOG names
    python src/monitor.py /folder --since 2026-11-20 > report.md

Reads the log, and metrics.json and reference.csv in evaluation/. Prints a Markdown report. Exits with status 1 if there
is drift, and with 0 if there is none or the log has too few predictions of the evaluated model.
"""

import argparse
import signal
from datetime import datetime
from pathlib import Path

from classifier.monitoring.drift import MIN_PREDICTIONS, compare_values
from classifier.monitoring.log import read_log, read_reference
from classifier.monitoring.report import drift_report
from utils.cli import make_parser, run_cli


def main(log_folder: Path, since: datetime | None) -> int:
    """Print the report about the predictions, all or since a local time of the service; return the exit status."""
    model, reference = read_reference(Path("evaluation"))
    log = read_log(log_folder, model, since)
    comparisons = compare_values(reference, log.values) if len(log.values) >= MIN_PREDICTIONS else []
    print(drift_report(model, log, len(reference), comparisons))
    return int(any(comparison.has_drifted for comparison in comparisons))


def parse_time(text: str) -> datetime:
    """Return a date or a time without a time zone, as in the log."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo:
        raise argparse.ArgumentTypeError(f"expected a date or a local time, such as 2026-11-20T08:00, got {text!r}")
    return time


if __name__ == "__main__":
    parser = make_parser(__doc__, "log_folder")
    parser.add_argument(
        "--since",
        type=parse_time,
        metavar="TIME",
        help="leave out older predictions; a date or a time of the service's clock (default: all)",
    )
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly in `monitor.py ... | head`
    run_cli(main, parser)
