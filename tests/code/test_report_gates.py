"""The quality gates: which models pass, and how the report and its exit status say so."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import report
from classifier.config import EvaluateParams, load_params
from classifier.reporting.gates import check_gates
from classifier.reporting.reproduction import Level, judge_reproduction
from classifier.reporting.statistics import compare_predictions
from support.projects import commit_all
from support.reports import BEFORE, make_predictions, make_snapshot, write_results
from utils.errors import UserError

MakeReport = Callable[..., str]


def set_gates(folder: Path, gates: dict[str, float]) -> None:
    """Add gates to the params.yaml that `write_results` wrote."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, "evaluate": gates}))


@pytest.mark.parametrize("text", ["", "evaluate:\n", "evaluate: {}\n", "evaluate:\n  # min_acc: 0.9\n"])
def test_load_params_of_an_optional_section_needs_no_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(f"train: {{}}\n{text}")
    assert load_params(EvaluateParams, tmp_path / "params.yaml") == EvaluateParams(min_acc=None, max_drop=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evaluate: {min_acc: 95}", "evaluate.min_acc: expected a number from 0 to 1, got 95"),
        ("evaluate: {max_drop: -0.1}", "evaluate.max_drop: expected a number from 0 to 1, got -0.1"),
        ("evaluate: {max_drop: .nan}", "evaluate.max_drop: expected a number from 0 to 1, got nan"),
        ("evaluate: {min_ac: 0.9}", "evaluate: unknown key 'min_ac' (did you mean 'min_acc'?)"),
        ("evaluation: {min_acc: 0.9}", "section 'evaluate' is missing (did you mean 'evaluation'?)"),
        ("evaluate: [min_acc]", "evaluate: expected a section with keys and values, got ['min_acc']"),
    ],
)
def test_load_params_of_wrong_gates_names_them(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(f"train: {{}}\n{text}\n")
    with pytest.raises(UserError, match=re.escape(message)):
        load_params(EvaluateParams, tmp_path / "params.yaml")


def passed(num_wrong: tuple[int, int], num_images: int = 400, **gates: float) -> list[bool]:
    """Return which gates a model passes; `num_wrong` are the mistakes of the base and of the new model."""
    base, current = (make_snapshot(make_predictions(number, num_images)) for number in num_wrong)
    results = check_gates(EvaluateParams(**gates), current, compare_predictions(base, current))
    return [result.is_passed for result in results]


def test_check_gates_without_gates_checks_nothing() -> None:
    assert passed((0, 200)) == []


@pytest.mark.parametrize(
    ("num_wrong", "min_acc", "is_passed"),
    [(40, 0.9, True), (41, 0.9, False), (40, 0, True), (0, 1, True), (1, 1, False)],
)
def test_min_acc_is_the_lowest_accepted_accuracy(num_wrong: int, min_acc: float, is_passed: bool) -> None:
    assert passed((0, num_wrong), min_acc=min_acc) == [is_passed]


@pytest.mark.parametrize(
    ("num_wrong", "max_drop", "is_passed"),
    [
        ((20, 20), 0, True),
        ((20, 10), 0, True),
        ((20, 25), 0, True),  # 5 of 400 newly wrong: p = 0.063
        ((20, 26), 0, False),  # 6 of 400: p = 0.031
        ((20, 28), 0.02, True),  # exactly 0.02, in spite of the rounding of floats
        ((20, 29), 0.02, False),
        ((0, 200), 1, True),
    ],
)
def test_max_drop_is_the_largest_accepted_significant_fall(
    num_wrong: tuple[int, int], max_drop: float, is_passed: bool
) -> None:
    assert passed(num_wrong, max_drop=max_drop) == [is_passed]


def test_max_drop_with_few_test_images_accepts_a_fall_that_can_be_random() -> None:
    assert passed((0, 5), num_images=12, max_drop=0.02) == [True]  # 42 points, p = 0.063
    assert passed((0, 6), num_images=12, max_drop=0.02) == [False]


def test_max_drop_compares_only_common_test_images() -> None:
    base, current = make_snapshot(make_predictions(0, 400)), make_snapshot(make_predictions(100, 400))
    params = EvaluateParams(max_drop=0.02)
    renamed = make_snapshot({f"new/{file}": pair for file, pair in current.predictions.items()})
    (result,) = check_gates(params, renamed, compare_predictions(base, renamed))
    assert result.is_passed and "there are no common test images" in result.comparison
    more = make_snapshot(base.predictions | renamed.predictions)
    assert [result.is_passed for result in check_gates(params, more, compare_predictions(base, more))] == [True]


def test_min_acc_without_metrics_fails() -> None:
    base = make_snapshot(BEFORE)
    (result,) = check_gates(EvaluateParams(min_acc=0), replace(base, metrics={}), compare_predictions(base, base))
    assert not result.is_passed and result.comparison == "val_acc is missing; evaluate.min_acc is 0"


def test_report_names_the_gates_in_its_first_lines(committed: Path, make_report: MakeReport) -> None:
    set_gates(committed, {"min_acc": 0.5, "max_drop": 0.02})
    assert make_report().startswith(
        "🟢 **Quality gate passed:** val_acc is 0.666667; evaluate.min_acc is 0.5.\n\n"
        "🟢 **Quality gate passed:** val_acc changed by +0 on 24 common test images (McNemar's test: p = 1.000); "
        "evaluate.max_drop is 0.02.\n\n🟢 **Reproduced to the byte:**"
    )
    commit_all(committed, "gates")
    write_results(committed, make_snapshot({file: (actual, "Pluto") for file, (actual, _) in BEFORE.items()}))
    set_gates(committed, {"min_acc": 0.5, "max_drop": 0.02})
    assert make_report().startswith(
        "🔴 **Quality gate failed:** val_acc is 0; evaluate.min_acc is 0.5.\n\n"
        "🔴 **Quality gate failed:** val_acc changed by -0.666667 on 24 common test images (McNemar's test: p < 0.001)"
    )


def test_verify_with_a_failed_gate_exits_with_1_although_the_results_are_reproduced(
    committed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(committed)
    worse = make_predictions(num_wrong=12) | {f"Moon/{i}.jpg": ("Moon", "Mars") for i in range(3)}
    write_results(committed, make_snapshot(worse))
    commit_all(committed, "worse")
    assert report.main("HEAD^", verify=True) == 0
    assert capsys.readouterr().out.startswith("Reproduced to the byte: ")
    for gates, status in (({"max_drop": 0.1}, 1), ({"max_drop": 0.3}, 0), ({"min_acc": 0.7}, 1), ({"min_acc": 0.3}, 0)):
        set_gates(committed, gates)
        assert report.main("HEAD^", verify=True) == status
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("Reproduced to the byte: ")
        assert lines[1].startswith(f"Quality gate {'failed' if status else 'passed'}: val_acc ")
    set_gates(committed, {"max_drop": 0})
    assert report.main("HEAD", verify=True) == 0


def test_judge_reproduction_with_other_gates_is_reproduced() -> None:
    snapshot = make_snapshot(BEFORE)
    for params in ({"evaluate.min_acc": 0.9}, {"train.lr": 0.5}):
        changed = make_snapshot(BEFORE)
        changed.params.update(params)
        expected = Level.BYTES if "evaluate.min_acc" in params else Level.NONE
        assert judge_reproduction(snapshot, changed, ["params.yaml"]).level is expected
