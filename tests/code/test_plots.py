"""The figures: what they contain, and that equal inputs give equal bytes."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from classifier.evaluation import plots

HISTORY = {
    "epoch": [0.0, 1.0],
    "loss": [2.0, 1.0],
    "accuracy": [0.3, 0.6],
    "val_loss": [2.5, 1.5],
    "val_accuracy": [0.2, 0.5],
}


def predictions(
    num_correct: int, num_wrong: int, channels: int = 3
) -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
    """Return images, actual and predicted classes, and confidence; the wrong predictions come last."""
    total = num_correct + num_wrong
    images = np.random.default_rng(0).integers(256, size=(total, 8, 6, channels), dtype=np.uint8)
    confidence = np.linspace(0.5, 0.99, total)
    return images, ["cat"] * total, ["cat"] * num_correct + ["dog"] * num_wrong, confidence


def title(figure: Figure) -> str:
    return figure.get_suptitle()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def draw_all() -> dict[str, Figure]:
    return {
        "training": plots.get_training_plot(HISTORY, "validation"),
        "preview": plots.get_pred_preview_plot(*predictions(5, 3)),
        "mistakes": plots.get_mistakes_plot(*predictions(5, 3)),
        "confusion": plots.get_confusion_matrix_plot(np.array([[5, 2], [0, 7]]), ["cat", "dog"]),
    }


@pytest.mark.parametrize(
    ("num_correct", "num_wrong", "expected_correct", "expected_wrong"),
    [(30, 2, 30, 2), (100, 2, 38, 2), (100, 50, 20, 20), (0, 50, 0, 40), (3, 50, 3, 20), (50, 0, 40, 0)],
)
def test_pred_preview_shows_mistakes_first_in_at_most_half_the_grid(
    num_correct: int, num_wrong: int, expected_correct: int, expected_wrong: int
) -> None:
    figure = plots.get_pred_preview_plot(*predictions(num_correct, num_wrong))
    assert title(figure) == f"{num_correct + num_wrong} test images, {num_wrong} wrong"
    is_wrong = ["actual: cat" in text for text in texts(figure)]
    assert is_wrong == [True] * expected_wrong + [False] * expected_correct
    assert len(figure.axes[0].images) == len(is_wrong)


def test_pred_preview_colors_correct_and_wrong_differently() -> None:
    figure = plots.get_pred_preview_plot(*predictions(1, 1))
    colors = [text.get_color() for text in figure.axes[0].texts]
    assert colors == [plots.WRONG_COLOR, plots.CORRECT_COLOR]


@pytest.mark.parametrize(
    ("num_wrong", "expected_title", "num_shown"),
    [
        (0, "40 test images, 0 wrong", 0),
        (1, "41 test images, 1 wrong", 1),
        (5, "45 test images, 5 wrong; the most confident mistakes first", 5),
        (30, "70 test images, 30 wrong; the 24 most confident mistakes", 24),
    ],
)
def test_mistakes_plot_shows_most_confident_first(num_wrong: int, expected_title: str, num_shown: int) -> None:
    *arrays, confidence = predictions(40, num_wrong)
    figure = plots.get_mistakes_plot(*arrays, confidence)
    assert title(figure) == expected_title
    expected = [f"dog {value:.0%}\nactual: cat" for value in sorted(confidence[40:], reverse=True)]
    assert texts(figure) == expected[:num_shown]


def test_image_grid_shows_grayscale_images() -> None:
    figure = plots.get_mistakes_plot(*predictions(0, 2, channels=1))
    assert [image.get_array().shape for image in figure.axes[0].images] == [(8, 6), (8, 6)]


def test_training_plot_counts_epochs_from_one() -> None:
    loss_axes, accuracy_axes = plots.get_training_plot(HISTORY, "validation").axes
    assert [list(line.get_xdata()) for line in loss_axes.lines] == [[1, 2], [1, 2]]
    assert [line.get_label() for line in accuracy_axes.lines] == ["train", "validation"]
    assert list(accuracy_axes.lines[1].get_ydata()) == HISTORY["val_accuracy"]


def test_confusion_matrix_plot_shows_counts_and_accuracy() -> None:
    axes = plots.get_confusion_matrix_plot(np.array([[5, 2], [0, 7]]), ["cat", "dog"]).axes[0]
    assert axes.get_title() == "14 test images, 85.7% correct"
    counts = {text.get_position(): (text.get_text(), text.get_weight()) for text in axes.texts}
    assert counts == {(0, 0): ("5", "normal"), (1, 0): ("2", "bold"), (1, 1): ("7", "normal")}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_confusion_matrix_plot_of_many_classes_has_no_labels() -> None:
    axes = plots.get_confusion_matrix_plot(np.eye(41, dtype=int), [f"class {i}" for i in range(41)]).axes[0]
    assert not axes.texts
    assert axes.get_xlabel() == "predicted (class index)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mars", "Mars"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdefg", "0123456789abcde…"),
        ("$x$", r"\$x\$"),
    ],
)
def test_ellipsize_shortens_names_and_escapes_mathematics(name: str, expected: str) -> None:
    assert plots._ellipsize(name) == expected


def test_figures_with_other_user_settings_have_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, figure in draw_all().items():
        plots.save_figure(figure, tmp_path / f"{name}-1.png")
    monkeypatch.setitem(mpl.rcParams, "font.size", 20)
    monkeypatch.setitem(mpl.rcParams, "lines.linewidth", 5)
    for name, figure in draw_all().items():
        plots.save_figure(figure, tmp_path / f"{name}-2.png")
        assert (tmp_path / f"{name}-1.png").read_bytes() == (tmp_path / f"{name}-2.png").read_bytes()


def test_save_figure_writes_png_without_version_and_date(tmp_path: Path) -> None:
    plots.save_figure(plots.get_training_plot(HISTORY, "validation"), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (1100, 440)
        assert set(image.info) <= {"dpi"}
