"""Images that cannot be read: leave them out, and list them."""

from dataclasses import replace
from pathlib import Path

from classifier.data.decoder import DecodedImages
from classifier.data.discovery import RawDataset
from classifier.data.given_split import validate_splits
from utils.cli import print_warning
from utils.errors import UserError
from utils.files import format_list, printable, shorten_list
from utils.tables import write_csv

UNREADABLE_FILE = "unreadable.csv"
MAX_REASONS = 3  # in the warning


def skip_unreadable(
    dataset: RawDataset, decoded: DecodedImages, folder: Path
) -> tuple[RawDataset, DecodedImages, list[str]]:
    """Leave out the images that cannot be read, and write their names and the reasons to `folder`/unreadable.csv.

    Returns:
        the dataset and the decoded images without them, and one "class/file: reason" per image that is left out.

    Raises:
        UserError: a class has no other images, or a given split has no other training or test images.
    """
    readable = [i for i, info in enumerate(decoded.infos) if not info.error]
    errors = [(path, info.error) for path, info in zip(dataset.paths, decoded.infos, strict=True) if info.error]
    not_empty = {dataset.labels[i] for i in readable}
    if len(not_empty) < len(dataset.class_names):
        images = zip(dataset.paths, dataset.labels, decoded.infos, strict=True)
        lost = [f"{path}: {info.error}" for path, label, info in images if label not in not_empty]
        headline = f"some classes in {printable(dataset.root)} have no image that can be read; fix or remove them"
        raise UserError(format_list(headline, lost))
    write_csv(folder / UNREADABLE_FILE, ("file", "reason"), ((printable(path), error) for path, error in errors))
    selected = dataset.select(readable)
    if selected.splits:
        validate_splits(printable(dataset.root), selected.class_names, selected.labels, selected.splits)
    return (
        selected,
        replace(
            decoded,
            infos=[decoded.infos[i] for i in readable],
            positions=[decoded.positions[i] for i in readable],
        ),
        [f"{path}: {error}" for path, error in errors],
    )


def warn_about_unreadable(root: Path, unreadable: list[str], prepared_dir: Path) -> None:
    """Print how many images are left out, the first of them, and where all are listed; nothing if there is none."""
    if unreadable:
        print_warning(
            f"{printable(root)}: {len(unreadable)} images cannot be read and are left out; "
            f"{printable(prepared_dir / UNREADABLE_FILE)} lists them: {shorten_list(unreadable, MAX_REASONS)}"
        )
