"""Label the images that the service kept, on a local web page, and move them into the dataset.

    python src/label.py FOLDER data/raw
    python src/label.py FOLDER data/raw --export tasks.json     # for Label Studio
    python src/label.py FOLDER data/raw --import export.json    # from Label Studio: stores the labels only

FOLDER is the one that KEEP_IMAGES names. Reads the images and labels in it, and writes labels. The page moves labelled
images to data/raw/<class>/ (data/raw/train/<class>/ if there is a given split). It is on 127.0.0.1 only.
"""

import signal
from pathlib import Path

from classifier.kept_images.folder import KeptImages
from classifier.labelling.app import serve_until_finished
from classifier.labelling.label_studio import export_tasks, import_labels, labelling_config
from classifier.labelling.moving import MoveResult, get_train_dir, list_dataset
from utils.cli import make_parser, print_warning, run_cli
from utils.errors import UserError
from utils.files import printable, shorten_list


def main(folder: Path, raw_dir: Path, import_file: Path | None, export_file: Path | None) -> None:
    """Show the label page, or read or write Label Studio's JSON.

    Raises:
        UserError: a folder or file cannot be used, or some images could not be moved.
    """
    if not folder.is_dir():
        raise UserError(f"{printable(folder)} is not a folder; give the folder that KEEP_IMAGES names")
    kept, dataset = KeptImages(folder), list_dataset(raw_dir)
    class_names = dataset.class_names
    records, problems = kept.list_records()
    for problem in problems:
        print_warning(problem)
    if not records:
        raise UserError(f"{printable(folder)} has no images to label")
    if import_file:
        print(f"{import_labels(kept, import_file, class_names)} labels stored; {_next_command(folder, raw_dir)}")
    if export_file:
        export_tasks(kept, records, export_file)
        print(f"{len(records)} tasks written to {printable(export_file)}. Start Label Studio with")
        print("  LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true")
        print(f"  LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={printable(folder.resolve().parent)}")
        print(f"and create a project with this labelling configuration:\n  {labelling_config(class_names)}")
    if not (import_file or export_file):
        train_dir = get_train_dir(dataset)
        for signum in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops first, and then sends itself the signal again
            signal.signal(signum, lambda *_: None)
        print_result(serve_until_finished(kept, raw_dir), folder, raw_dir, train_dir, class_names)


def print_result(
    result: MoveResult | None, folder: Path, raw_dir: Path, train_dir: Path, class_names: list[str]
) -> None:
    """Print what was moved and the two commands to run next.

    Raises:
        UserError: some images could not be moved.
    """
    if result is None:
        print(f"Nothing was moved. The labels are stored; {_next_command(folder, raw_dir)}")
        return
    for class_name, number in sorted(result.moved.items()):
        print(f"Moved to {printable(train_dir / class_name)}: {number}")
    if result.num_none:
        print(f"None of these classes, not moved from {printable(folder)}: {result.num_none}")
    if new := set(result.moved) - set(class_names):
        print(f"New classes: {shorten_list(sorted(new))}. Remove train.output_classes from params.yaml, or change it")
    if result.moved:
        print(f"Now run\n  dvc add {printable(raw_dir)}\n  dvc repro")
    else:
        print("No image was moved")
    for problem in result.problems:
        print_warning(problem)
    if result.problems:
        raise UserError(f"{len(result.problems)} problems; see above")


def _next_command(folder: Path, raw_dir: Path) -> str:
    return f"to move the images, run `python src/label.py {printable(folder)} {printable(raw_dir)}`"


if __name__ == "__main__":
    parser = make_parser(__doc__, "folder", "raw_dir")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--import", type=Path, dest="import_file", metavar="FILE", help="import labels, and exit")
    action.add_argument("--export", type=Path, dest="export_file", metavar="FILE", help="export tasks, and exit")
    run_cli(main, parser)
