"""Stage 3: evaluate the model archive that train.py wrote, on the test images.

    python src/evaluate.py model data/prepared

Reads the model archive and history.csv in `model`, and the arrays in `data/prepared`. Writes metrics.json,
model_card.md, four tables (CSV) and four figures to evaluation/, all from the same predictions.
"""

import csv
import itertools
import math
from pathlib import Path
from typing import Any

from utils import seed  # isort: split

from classifier.data.dataset import load_split, validation_split
from classifier.evaluation.results import compute_metrics, predict, write_plots, write_reference, write_results
from classifier.evaluation.unknown_images import evaluate_unknown, rejected_share
from classifier.model.archive import archive_name
from classifier.model.predictor import Predictor
from classifier.model.store import import_model, load_from_store
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import atomic_output_dir, printable
from utils.fonts import warn_about_substitutes
from utils.tables import read_columns

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


def main(model_dir: Path, prepared_dir: Path) -> None:
    """Evaluate the model archive in `model_dir` on the test images in `prepared_dir`."""
    class_names, test = load_split(prepared_dir, "test")
    _, train = load_split(prepared_dir, "train")
    history = read_history(model_dir / "history.csv")

    archive_path = model_dir / archive_name()
    tag = import_model(archive_path)  # before the import of TensorFlow, which takes 10 s
    seed.set_seed(0, threads=1)
    bento_model, model = load_from_store(tag)
    metadata = bento_model.info.metadata
    if metadata.get("classes") != class_names or model.input_shape[1:] != test.images.shape[1:]:
        raise UserError(
            f"{printable(archive_path)} was trained on other classes or another image size than "
            f"{printable(prepared_dir)} has; run `dvc repro` again"
        )
    predictor = Predictor(bento_model, model)
    predictions = predict(predictor, test)
    metrics = {"model": tag, **compute_metrics(predictions, class_names, train, test)}
    metrics["rejected"] = rejected_share(predictions.novelty)
    metrics["unknown"] = evaluate_unknown(predictor, predictions.novelty)
    held_out = [(test, predictions)]
    val_name = validation_split(prepared_dir)
    if val_name == "validation":
        _, validation = load_split(prepared_dir, "validation")
        held_out.append((validation, predict(predictor, validation)))
        scores: Any = metadata["scores"]
        metrics["validation"] = {"loss": round(scores["val_loss"], 6), "acc": scores["val_accuracy"]}

    with atomic_output_dir(Path("evaluation")) as tmp_dir:
        write_results(tmp_dir, predictions, metrics, metadata, class_names, test)
        write_reference(tmp_dir, class_names, held_out)
        write_plots(tmp_dir / "plots", predictions, history, val_name, class_names, test)
    warn_about_substitutes(class_names, Path("evaluation/classes.csv"))
    accuracy, loss = metrics["val_acc"], metrics["val_loss"]
    print(f"{tag}: val_acc {accuracy:.4f}, val_loss {loss:.4f}, details in evaluation/")


def read_history(path: Path) -> dict[str, list[float]]:
    """Read the columns of history.csv.

    Raises:
        UserError: the file is missing or damaged.
    """
    fix = "run `dvc repro` again"
    try:
        text = path.read_text("utf-8")
        rows = [tuple(map(float, row)) for row in read_columns(text, *HISTORY_COLUMNS)]
        if not rows or len(rows) != len(text.splitlines()) - 1:
            raise ValueError("a column is missing or empty")
        if not all(map(math.isfinite, itertools.chain(*rows))):
            raise ValueError("a value is not finite")
    except FileNotFoundError:
        raise UserError(f"{printable(path)} is missing; {fix}") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{printable(path)} is damaged ({error}); {fix}") from None
    return {name: list(values) for name, values in zip(HISTORY_COLUMNS, zip(*rows, strict=True), strict=True)}


if __name__ == "__main__":
    run_cli(main, make_parser(__doc__, "model_dir", "prepared_dir"))
