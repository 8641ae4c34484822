"""Quality gates: whether the model meets the limits in the section `evaluate` of params.yaml."""

from dataclasses import dataclass

from classifier.config import EvaluateParams
from classifier.reporting.formatting import format_p_value
from classifier.reporting.snapshot import Snapshot
from classifier.reporting.statistics import Comparison


@dataclass(frozen=True)
class GateResult:
    """Whether the model passes one gate, and the values that were compared."""

    is_passed: bool
    comparison: str

    @property
    def title(self) -> str:
        """The headline: passed or failed."""
        return f"Quality gate {'passed' if self.is_passed else 'failed'}"


def check_gates(params: EvaluateParams, current: Snapshot, comparison: Comparison) -> list[GateResult]:
    """Return the result of each gate that is set.

    Args:
        params: the limits.
        current: the results of the new model.
        comparison: its predictions and those of the base.
    """
    results = []
    if params.min_acc is not None:
        accuracy = current.metric("val_acc")
        shown = "missing" if accuracy is None else f"{accuracy:.6g}"
        is_passed = accuracy is not None and accuracy >= params.min_acc
        results.append(GateResult(is_passed, f"val_acc is {shown}; evaluate.min_acc is {params.min_acc:g}"))
    if params.max_drop is not None:
        results.append(_check_drop(params.max_drop, comparison))
    return results


def _check_drop(max_drop: float, comparison: Comparison) -> GateResult:
    limit = f"evaluate.max_drop is {max_drop:g}"
    if not comparison.num_images:
        return GateResult(is_passed=True, comparison=f"there are no common test images to compare; {limit}")
    change = (comparison.num_correct - comparison.num_correct_base) / comparison.num_images
    is_too_large = round(-change, 9) > max_drop
    p_value = format_p_value(comparison.total.p_value)
    return GateResult(
        is_passed=not (is_too_large and comparison.total.is_significant),
        comparison=f"val_acc changed by {change:+.6g} on {comparison.num_images:,} common test images "
        f"(McNemar's test: {p_value}); {limit}",
    )


def gates_section(gates: list[GateResult]) -> str:
    """Return one line for each gate."""
    return "\n\n".join(f"{'🟢' if gate.is_passed else '🔴'} **{gate.title}:** {gate.comparison}." for gate in gates)
