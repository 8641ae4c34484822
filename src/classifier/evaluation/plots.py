"""The figures. Equal inputs give equal bytes, whatever fonts and settings the user has."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

CORRECT_COLOR, WRONG_COLOR, WRONG_COLOR_ON_DARK = "#1a7f37", "#cf222e", "#ffb3ad"
CELL_WIDTH, IMAGE_SIZE, TEXT_HEIGHT, TITLE_HEIGHT = 1.45, 1.3, 0.55, 0.4  # of an image grid, in inches
MAX_LABELLED_CLASSES = 40  # the labels of more classes would overlap
MAX_NAME_LENGTH = 16  # characters
MAX_MARKERS = 60  # more points per line would overlap
DARK_SHARE = 0.5  # from here on, text on the colour map "Blues" must be light


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG file without Matplotlib's version and the date."""
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, with Matplotlib's default settings and its own fonts only."""
    mpl.rcdefaults()
    data_path = mpl.get_data_path()
    fonts = font_manager.fontManager
    fonts.ttflist = [font for font in fonts.ttflist if font.fname.startswith(data_path)]
    return Figure((width, height), layout="constrained")


def get_training_plot(history: dict[str, list[float]], val_name: str) -> Figure:
    """Plot loss and accuracy per epoch.

    Args:
        history: the columns of history.csv.
        val_name: the split that the columns val_loss and val_accuracy belong to.
    """
    figure = _new_figure(10, 4)
    epochs = [int(epoch) + 1 for epoch in history["epoch"]]
    marker = "o" if len(epochs) <= MAX_MARKERS else None
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label in ((name, "train"), (f"val_{name}", val_name)):
            axes.plot(epochs, history[column], marker=marker, markersize=3, label=label)
        axes.set(title=name.capitalize(), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set_ylim(*((0, None) if name == "loss" else (None, 1.01)))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def get_pred_preview_plot(
    images: np.ndarray, actual: list[str], predicted: list[str], confidence: np.ndarray, columns: int = 8, rows: int = 5
) -> Figure:
    """Show a sample of test images with their predicted classes.

    The most confident mistakes come first and take at most half of the grid. The correct predictions are spread evenly
    over the test set.

    Args:
        images: uint8 array of shape (N, height, width, channels).
        actual: N class names.
        predicted: N class names.
        confidence: N probabilities of the predicted class, 0 to 1.
        columns: the number of images per row.
        rows: the number of rows.
    """
    wrong = _misclassified(actual, predicted, confidence)
    correct = [i for i in range(len(images)) if actual[i] == predicted[i]]
    title = f"{len(images)} test images, {len(wrong)} wrong"
    wrong = wrong[: columns * rows // 2 if correct else columns * rows]
    num_correct = min(columns * rows - len(wrong), len(correct))
    correct = [correct[len(correct) * k // num_correct] for k in range(num_correct)]
    return _image_grid(images, actual, predicted, confidence, wrong + correct, title, columns)


def get_mistakes_plot(
    images: np.ndarray, actual: list[str], predicted: list[str], confidence: np.ndarray, columns: int = 8, rows: int = 3
) -> Figure:
    """Show the most confident mistakes first; images with a wrong label in the dataset are usually among them.

    Args:
        images: uint8 array of shape (N, height, width, channels).
        actual: N class names.
        predicted: N class names.
        confidence: N probabilities of the predicted class, 0 to 1.
        columns: the number of images per row.
        rows: the maximum number of rows.
    """
    wrong = _misclassified(actual, predicted, confidence)
    indices = wrong[: columns * rows]
    title = f"{len(images)} test images, {len(wrong)} wrong"
    if len(wrong) > len(indices):
        title += f"; the {len(indices)} most confident mistakes"
    elif len(wrong) > 1:
        title += "; the most confident mistakes first"
    return _image_grid(images, actual, predicted, confidence, indices, title, columns)


def _misclassified(actual: list[str], predicted: list[str], confidence: np.ndarray) -> list[int]:
    """Return the indices of the wrong predictions, the most confident first."""
    wrong = [i for i in range(len(actual)) if actual[i] != predicted[i]]
    return sorted(wrong, key=lambda i: -confidence[i])


def _image_grid(
    images: np.ndarray,
    actual: list[str],
    predicted: list[str],
    confidence: np.ndarray,
    indices: list[int],
    title: str,
    columns: int,
) -> Figure:
    """Show the images at `indices`, each with its predicted class and, if that is wrong, its actual class."""
    rows = max(math.ceil(len(indices) / columns), 1)
    pixel_size = IMAGE_SIZE / max(images.shape[1:3])
    half_width, height = images.shape[2] * pixel_size / 2, images.shape[1] * pixel_size
    cell_height = height + TEXT_HEIGHT
    figure = _new_figure(CELL_WIDTH * columns, cell_height * rows + TITLE_HEIGHT)
    figure.set_layout_engine("none")
    figure.suptitle(title, y=1 - 0.12 / figure.get_figheight())
    axes = figure.add_axes((0, 0, 1, 1))  # one for all images, because one per image takes three times as long
    for position, i in enumerate(indices):
        center_x = (position % columns + 0.5) * CELL_WIDTH
        bottom = (position // columns + 1) * cell_height + TITLE_HEIGHT - 0.05
        extent = (center_x - half_width, center_x + half_width, bottom, bottom - height)
        axes.imshow(images[i].squeeze(), cmap="gray", vmin=0, vmax=255, extent=extent)
        is_correct = actual[i] == predicted[i]
        text = f"{_ellipsize(predicted[i])} {confidence[i]:.0%}"
        if not is_correct:
            text += f"\nactual: {_ellipsize(actual[i])}"
        color = CORRECT_COLOR if is_correct else WRONG_COLOR
        axes.text(center_x, bottom - height - 0.06, text, fontsize=8, color=color, ha="center", va="bottom")
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    axes.axis("off")
    return figure


def get_confusion_matrix_plot(confusion: np.ndarray, class_names: list[str]) -> Figure:
    """Show the number of images per actual class (rows) and predicted class (columns).

    Args:
        confusion: integers, classes x classes.
        class_names: the class names.
    """
    num_classes = len(class_names)
    is_labelled = num_classes <= MAX_LABELLED_CLASSES
    figure = _new_figure(*((4 + 0.5 * num_classes, 3 + 0.5 * num_classes) if is_labelled else (14, 13)))
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    edges = np.arange(num_classes + 1) - 0.5
    heatmap = axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)  # `imshow` needs more memory
    axes.set_aspect("equal")
    axes.invert_yaxis()
    figure.colorbar(heatmap, label="share of the actual class", shrink=0.8)
    total, num_correct = int(confusion.sum()), int(np.trace(confusion))
    title = f"{total} test images, {num_correct / total:.1%} correct"
    unit = "" if is_labelled else " (class index)"
    axes.set(xlabel=f"predicted{unit}", ylabel=f"actual{unit}", title=title)
    if is_labelled:
        names = [_ellipsize(name) for name in class_names]
        axes.set_xticks(range(num_classes), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(num_classes), names)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            is_dark = shares[row, column] > DARK_SHARE
            if row == column:
                color, weight = "white" if is_dark else "black", "normal"
            else:
                color, weight = WRONG_COLOR_ON_DARK if is_dark else WRONG_COLOR, "bold"
            count = confusion[row, column]
            axes.text(column, row, count, color=color, weight=weight, fontsize=9, ha="center", va="center")
    return figure


def _ellipsize(name: str) -> str:
    """Return a name that fits, without characters that Matplotlib would read as mathematics."""
    short = name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"
    return short.replace("$", r"\$")
