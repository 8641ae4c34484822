"""Stage 1: turn a folder of labelled images into arrays, split into a training, a validation and a test set.

    python src/prepare.py data/raw data/prepared

Reads data/raw/<class>/<image>, or another layout that data/README.md describes, and the section `prepare` of
params.yaml. Writes labels.json (the class names), preview.png, near_duplicates.json (lists of files that are almost
equal), with `unreadable: skip` also unreadable.csv (file and reason), and the folders train, validation and test (see
`classifier/data/writer.py`).
"""

import gc
import json
import shutil
from pathlib import Path

from classifier.config import PrepareParams, load_params
from classifier.data.assignment import assign_images
from classifier.data.checks import validate_classes, validate_images
from classifier.data.counts import count_warnings
from classifier.data.dataset import count_images, count_leaks, load_split
from classifier.data.decoder import decode_images
from classifier.data.discovery import RawDataset, list_images
from classifier.data.preview import draw_preview
from classifier.data.skipped import warn_about_skipped
from classifier.data.unreadable import UNREADABLE_FILE, skip_unreadable, warn_about_unreadable
from classifier.data.writer import write_split
from utils.cli import make_parser, print_warning, run_cli
from utils.files import atomic_output_dir, printable, shorten_list
from utils.fonts import warn_about_substitutes
from utils.parallel import worker_pool

PURPOSES = {"train": "training", "validation": "validation", "test": "testing"}


def main(raw_dir: Path, prepared_dir: Path) -> None:
    """Prepare the images in `raw_dir`."""
    params = load_params(PrepareParams)
    dataset = list_images(raw_dir, params.nested)
    validate_classes(dataset)
    with (
        worker_pool() as pool,
        atomic_output_dir(prepared_dir) as tmp_dir,
        decode_images(pool, dataset, tmp_dir, params) as decoded,
    ):
        gc.freeze()  # the infos of all images stay; garbage collections need not search them
        if params.unreadable == "skip":
            dataset, images, unreadable = skip_unreadable(dataset, decoded, tmp_dir)
        else:
            images, unreadable = decoded, []
        validate_images(dataset, images.infos)
        splits, grouping = assign_images(dataset, images.infos, params)
        for name, indices in splits.items():
            write_split(dataset, images, indices, tmp_dir / name)
        (tmp_dir / "labels.json").write_text(json.dumps(dataset.class_names, indent=2) + "\n", "utf-8")
        near_duplicates = [[dataset.paths[i] for i in group] for group in grouping.near_duplicates]
        (tmp_dir / "near_duplicates.json").write_text(json.dumps(near_duplicates, indent=0) + "\n", "ascii")
        class_names, train = load_split(tmp_dir, "train")
        draw_preview(train, class_names).save(tmp_dir / "preview.png", compress_level=1)
        counts, leaks = count_images(class_names, tmp_dir), count_leaks(tmp_dir)
    if "validation" not in splits:
        shutil.rmtree(prepared_dir / "validation", ignore_errors=True)  # of an earlier run
        if params.validation:
            print_warning("no class has enough images for validation; history.csv will use the test images")
    if params.unreadable == "refuse":
        (prepared_dir / UNREADABLE_FILE).unlink(missing_ok=True)  # of an earlier run
    warn_about_unreadable(raw_dir, unreadable, prepared_dir)
    warn_about_skipped(raw_dir, dataset.skipped)
    warn_about_substitutes(class_names, prepared_dir / "labels.json")
    for message in count_warnings(counts, leaks=leaks):
        print_warning(message)
    if grouping.divided_labels:
        names = shorten_list([class_names[label] for label in grouping.divided_labels])
        print_warning(f"these classes have so many near-duplicates that some of them are in different sets: {names}")
    print(describe_result(dataset, splits, len(near_duplicates), params))


def describe_result(
    dataset: RawDataset, splits: dict[str, list[int]], num_near_duplicates: int, params: PrepareParams
) -> str:
    """Return one line about the images, the splits and the layout."""
    height, width = params.image_size
    layout = f", {printable(dataset.layout)}" if dataset.layout else ""
    return (
        f"{len(dataset.paths)} images of {len(dataset.class_names)} classes{layout}: "
        + "".join(f"{len(indices)} for {PURPOSES[name]}, " for name, indices in splits.items())
        + f"{height} x {width} {'grayscale' if params.grayscale else 'RGB'}; "
        f"{num_near_duplicates} groups of near-duplicates; {dataset.skipped.total()} other files skipped"
    )


if __name__ == "__main__":
    run_cli(main, make_parser(__doc__, "raw_dir", "prepared_dir"))
