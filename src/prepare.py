"""Stage 1: turn a folder of labelled images into arrays, split into a training and a test set.

    python src/prepare.py data/raw data/prepared

Reads data/raw/<class>/<image> and the section `prepare` of params.yaml. Writes labels.json (the class names),
preview.png, and the folders train and test (see `classifier/data/writer.py`).
"""

import json
import warnings
from pathlib import Path

from classifier.config import PrepareParams, load_params
from classifier.data.dataset import load_split
from classifier.data.discovery import list_images, validate_classes
from classifier.data.preview import draw_preview
from classifier.data.split import hash_images, split_by_content, warn_about_label_conflicts
from classifier.data.writer import write_split
from utils.cli import make_parser, run_cli
from utils.errors import UserError
from utils.files import atomic_output_dir, format_list, printable
from utils.parallel import worker_pool


def main(raw_dir: Path, prepared_dir: Path) -> None:
    """Prepare the images in `raw_dir`."""
    params = load_params(PrepareParams)
    dataset = list_images(raw_dir)
    validate_classes(dataset)
    with worker_pool() as pool, atomic_output_dir(prepared_dir) as tmp_dir:
        digests = hash_images(pool, dataset)
        warn_about_label_conflicts(dataset, digests)
        splits = split_by_content(digests, dataset.labels, dataset.class_names, params)
        unreadable = []
        for name, indices in splits.items():
            unreadable += write_split(pool, dataset, indices, tmp_dir / name, params)
        if unreadable:
            headline = f"some images in {printable(raw_dir)} cannot be read; fix or remove them"
            raise UserError(format_list(headline, sorted(unreadable)))
        (tmp_dir / "labels.json").write_text(json.dumps(dataset.class_names, indent=2) + "\n", "utf-8")
        class_names, train = load_split(tmp_dir, "train")
        draw_preview(train, class_names).save(tmp_dir / "preview.png", compress_level=1)
    height, width = params.image_size
    print(
        f"{len(dataset.paths)} images of {len(class_names)} classes: {len(splits['train'])} for training, "
        f"{len(splits['test'])} for testing, {height} x {width} {'grayscale' if params.grayscale else 'RGB'}; "
        f"{dataset.num_skipped} other files skipped"
    )


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="PIL")  # `preprocess` raises an error for images that cannot be used
    run_cli(main, make_parser(__doc__, "raw_dir", "prepared_dir"))
