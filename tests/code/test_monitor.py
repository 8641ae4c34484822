"""`monitor.py`: reading the log, the report, the exit status, and errors."""

import json
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import monitor
from classifier.monitoring.log import read_log, read_reference
from support.commands import ROOT, assert_fails, run
from support.logs import HEADER, MODEL, TIME, log_line, write_log, write_reference
from utils.errors import UserError

GOLDEN = ROOT / "tests/support/golden_drift.txt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a reference, as the current folder; `log` in it is a log with 120 predictions."""
    write_reference(tmp_path / "evaluation")
    write_log(tmp_path / "log", 120)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_report(capsys: pytest.CaptureFixture[str], status: int, **arguments: object) -> str:
    assert monitor.main(**{"log_folder": Path("log"), "since": None, **arguments}) == status
    return capsys.readouterr().out.replace("\u00a0", " ")


def test_main_without_drift_returns_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = make_report(capsys, 0)
    assert report.startswith("### No drift\n\n120 predictions of") and "🔴" not in report
    assert report.count("```mermaid") == 5


def test_main_with_drift_returns_1_and_prints_the_expected_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_log(folder / "log", 200, TIME + timedelta(days=1), brightness=0.42, prediction="Mars")
    write_log(folder / "log", 3, model="another:1")
    with file.open("a") as stream:
        stream.write(log_line(1)[:40])
    assert make_report(capsys, 1) == GOLDEN.read_text()


def test_main_with_too_few_predictions_says_so_and_returns_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder / "log", 99, TIME + timedelta(days=1), brightness=0.1)
    report = make_report(capsys, 0, since=TIME + timedelta(hours=1))
    assert report.startswith("### Too few predictions to detect drift: 99 of at least 100\n\n99 predictions of")
    assert "mermaid" not in report


@pytest.mark.parametrize("classes", ['a"b`c\\d', "```", "new\nline", "<script>|"])
def test_report_with_odd_class_names_has_no_broken_chart_or_table(
    folder: Path, capsys: pytest.CaptureFixture[str], classes: str
) -> None:
    write_log(folder / "log", 100, prediction=classes)
    report = make_report(capsys, 1)
    assert report.count("```") == 10 and len({line.count(" | ") for line in report.splitlines()} - {0}) == 1
    (labels,) = [line.split("prediction ")[1] for line in report.splitlines() if "x-axis prediction" in line]
    assert len(json.loads(labels)) == 3 and "`" not in labels and "\n" not in labels


def test_report_with_many_classes_shows_those_that_changed_most(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40):
        write_log(folder / "log", 3 + number, prediction=f"class {number}")
    report = make_report(capsys, 1)
    assert '"Mars", "Moon", "class 39"' in report and '"class 0"' not in report


@pytest.mark.parametrize(
    "line",
    [
        log_line(0)[:50], "[]", "null", "\0\0", "{}", "\udce4", log_line(0) + log_line(0), log_line(0, novelty=None),
        log_line(0, brightness=0.5).replace('"contrast": 0.2', '"contrast": NaN, "x": 0.2'), log_line(0, timestamp="?"),
        log_line(0, model=3), log_line(0, confidence="0.5"), log_line(0, timestamp="2026-11-20T08:30:00+01:00"),
    ],
)  # fmt: skip
def test_read_log_skips_and_counts_damaged_lines(tmp_path: Path, line: str) -> None:
    file = write_log(tmp_path, 2)
    file.write_bytes(file.read_bytes() + b"\n" + line.encode(errors="surrogateescape") + b"\n")
    write_log(tmp_path, 2)
    log = read_log(tmp_path, MODEL, None)
    assert (len(log.values), log.num_damaged, log.num_other_models) == (4, 1, 0)


def test_read_log_reads_all_files_of_all_services(tmp_path: Path) -> None:
    for name in ("data.1.2026-11-20", "data.2.2026-11-20", "data.1.2026-11-21"):
        write_log(tmp_path / "first", 2, name=name)
    write_log(tmp_path / "second", 1)
    assert len(read_log(tmp_path, MODEL, None).values) == 7
    assert len(read_log(tmp_path / "first", MODEL, None).values) == 6


def test_read_log_since_a_time_leaves_out_older_lines_of_all_models(tmp_path: Path) -> None:
    write_log(tmp_path, 2, TIME - timedelta(seconds=1))
    write_log(tmp_path, 4, TIME - timedelta(seconds=1), model="another:1")
    write_log(tmp_path, 3, TIME)
    log = read_log(tmp_path, MODEL, TIME)
    assert (len(log.values), log.num_other_models, set(log.times)) == (3, 0, {TIME})


@pytest.mark.parametrize("text", ["2026-11-20T08:30", "2026-11-20 08:30:00", "20261120T083000"])
def test_parse_time_accepts_iso_times(text: str) -> None:
    assert monitor.parse_time(text) == TIME


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", None, "evaluation/metrics.json is missing; run `dvc repro`"),
        ("metrics.json", "{}", "evaluation/metrics.json is damaged ('model'); run"),
        ("metrics.json", "[]", "evaluation/metrics.json is damaged"),
        ("reference.csv", None, "evaluation/reference.csv is missing; run `dvc repro`"),
        ("reference.csv", "", "evaluation/reference.csv is damaged (it has no rows)"),
        ("reference.csv", HEADER + "0.1,0.2,0.3\n", "evaluation/reference.csv is damaged"),
        ("reference.csv", HEADER + "0.1,0.2,0.3,nan,Mars\n", "is damaged (a value is missing or not finite)"),
        ("reference.csv", HEADER + "0.1,0.2,0.3,0.4,\n", "is damaged (a value is missing or not finite)"),
        ("reference.csv", "file,actual\n1,2\n", "evaluation/reference.csv is damaged ('brightness')"),
    ],
)
def test_read_reference_of_a_missing_or_damaged_file_raises_user_error(
    folder: Path, name: str, content: str | None, message: str
) -> None:
    path = folder / "evaluation" / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(UserError) as error:
        read_reference(Path("evaluation"))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["nothing"], "monitor.py: nothing contains no prediction log (predictions/data/*.log); give the folder", 1),
        (["log", "--since", "yesterday"], "expected a date or a local time, such as 2026-11-20T08:00, got", 2),
        (["log", "--since", "2026-11-20T08:00Z"], "expected a date or a local time", 2),
    ],
)
def test_command_with_bad_input_prints_one_line_and_no_report(
    folder: Path, arguments: list[str], message: str, code: int
) -> None:
    result = run(folder, str(ROOT / "src/monitor.py"), *arguments)
    assert_fails(result, message, code=code)
    assert result.stdout == ""


@pytest.mark.slow
def test_command_ends_quietly_when_the_reader_closes_the_pipe(folder: Path) -> None:
    command = f"'{sys.executable}' '{ROOT}/src/monitor.py' log | true; exit ${{PIPESTATUS[0]}}"
    result = run(folder, "bash", "-c", command)
    assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")
