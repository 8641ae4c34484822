"""The figures. The same numbers give the same bytes, whatever fonts and settings the user has."""

import math
import os

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

GOOD, BAD = "#1a7f37", "#cf222e"


def save(figure: Figure, path: os.PathLike) -> None:
    """Write a PNG without the library's version and the date."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, with Matplotlib's own defaults and its own fonts."""
    matplotlib.rcdefaults()
    own = matplotlib.get_data_path()
    font_manager.fontManager.ttflist = [f for f in font_manager.fontManager.ttflist if f.fname.startswith(own)]
    return Figure((width, height), layout="constrained")


def training_history(history: dict[str, list[float]]) -> Figure:
    """Loss and accuracy over epochs; `history` has the columns of history.csv."""
    figure = _figure(10, 4)
    epochs = [int(epoch) + 1 for epoch in history["epoch"]]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label in ((name, "train"), (f"val_{name}", "test")):
            axes.plot(epochs, history[column], marker="o" if len(epochs) < 60 else None, markersize=3, label=label)
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(*((0, None) if name == "loss" else (None, 1.01)))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def pred_preview(
    images: np.ndarray, actual: list[str], predicted: list[str], confidence: np.ndarray, columns: int = 8, rows: int = 5
) -> Figure:
    """Some test pictures with what the model takes them for: first, in red, those that it gets wrong.

    Args:
        images: uint8, N x height x width x channels.
        actual, predicted: N class names.
        confidence: N probabilities of the predicted class, 0 to 1.
    """
    wrong = _wrong(actual, predicted, confidence)
    right = [i for i in range(len(images)) if actual[i] == predicted[i]]
    title = f"{len(images)} test pictures, {len(wrong)} wrong"
    # At most half of the places for mistakes, the most confident first; the rest spread over the test set.
    wrong = wrong[: columns * rows // 2 if right else columns * rows]
    room = columns * rows - len(wrong)
    right = [right[len(right) * k // min(room, len(right))] for k in range(min(room, len(right)))]
    return _sheet(images, actual, predicted, confidence, wrong + right, title, columns)


def mistakes(
    images: np.ndarray, actual: list[str], predicted: list[str], confidence: np.ndarray, columns: int = 8, rows: int = 3
) -> Figure:
    """The most confident mistakes, the surest first. Wrong labels in the data show up here before anything else."""
    wrong = _wrong(actual, predicted, confidence)
    chosen = wrong[: columns * rows]
    title = f"{len(wrong)} mistakes in {len(images)} test pictures"
    if wrong:
        title += f", the {len(chosen)} most confident" if wrong[len(chosen) :] else ", the most confident first"
    return _sheet(images, actual, predicted, confidence, chosen, title, columns)


def _wrong(actual: list[str], predicted: list[str], confidence: np.ndarray) -> list[int]:
    wrong = [i for i in range(len(actual)) if actual[i] != predicted[i]]
    return sorted(wrong, key=lambda i: -confidence[i])


def _sheet(
    images: np.ndarray,
    actual: list[str],
    predicted: list[str],
    confidence: np.ndarray,
    chosen: list[int],
    title: str,
    columns: int,
) -> Figure:
    rows, width, height = max(math.ceil(len(chosen) / columns), 1), 1.45, 1.85  # of a cell, in inches
    figure = _figure(width * columns, height * rows + 0.4)
    figure.set_layout_engine("none")
    figure.suptitle(title, y=1 - 0.12 / figure.get_figheight())
    axes = figure.add_axes((0, 0, 1, 1))  # one for all pictures: one for each takes three times as long
    side = 1.3 / max(images.shape[1:3])  # of a pixel
    for place, i in enumerate(chosen):
        x, y = (place % columns + 0.5) * width, (place // columns + 1) * height + 0.35  # in the middle, at the bottom
        across, down = images.shape[2] * side / 2, images.shape[1] * side
        axes.imshow(images[i].squeeze(), cmap="gray", vmin=0, vmax=255, extent=(x - across, x + across, y, y - down))
        text = f"{_short(predicted[i])} {confidence[i]:.0%}"
        if actual[i] != predicted[i]:
            text += f"\nis {_short(actual[i])}"
        color = GOOD if actual[i] == predicted[i] else BAD
        axes.text(x, y - down - 0.06, text, fontsize=8, color=color, ha="center", va="bottom")
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    axes.axis("off")
    return figure


def confusion_matrix(counts: np.ndarray, labels: list[str]) -> Figure:
    """How many pictures of each class (rows) were taken for which (columns).

    Args:
        counts: integers, classes x classes.
        labels: the classes' names.
    """
    size = len(labels)
    figure = _figure(*((4 + 0.5 * size, 3 + 0.5 * size) if size <= 40 else (14, 13)))
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(drawn, label="share of the actual class", shrink=0.8)
    accuracy = np.trace(counts) / counts.sum()
    axes.set(xlabel="predicted", ylabel="actual", title=f"Confusion matrix: {accuracy:.1%} of {counts.sum()} right")
    if size <= 40:
        names = [_short(label) for label in labels]
        axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(size), names)
        for row, column in zip(*np.nonzero(counts), strict=True):
            dark = shares[row, column] > 0.5
            color = ("#ffb3ad" if dark else BAD) if row != column else "white" if dark else "black"
            weight = "bold" if row != column else "normal"
            style = {"color": color, "weight": weight, "fontsize": 9, "ha": "center", "va": "center"}
            axes.text(column, row, counts[row, column], **style)
    return figure


def _short(label: str) -> str:
    """A label that fits, with no character that Matplotlib would read as mathematics."""
    return (label if len(label) <= 18 else label[:17] + "…").replace("$", r"\$")
