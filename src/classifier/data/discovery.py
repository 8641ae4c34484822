"""Find the images of a dataset and their classes, in one of three layouts.

- Class folders: `<class>/<image>`, or with `prepare.nested: join` at any depth: `<a>/<b>/<image>` has the class "a/b".
- Folders of a given split: `train/<class>/<image>`, and the same in `val` or `test`.
- A table, `labels.csv`; see `classifier/data/labels_csv.py`.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from classifier.config import Nested
from classifier.data.class_folders import ClassFolders, Listing, find_classes, list_folder
from classifier.data.given_split import SPLIT_OF_NAME, resolve_splits
from classifier.data.labels_csv import LABELS_FILE, count_unlisted, read_labels
from utils.errors import UserError
from utils.files import format_list, printable


@dataclass(frozen=True)
class RawDataset:
    """A folder of labelled images.

    Attributes:
        root: the folder.
        class_names: the names of the classes, sorted.
        paths: the images, relative to `root`; those of class folders are sorted by class.
        labels: the class of each image, as an index into `class_names`.
        skipped_by_class: the number of files of each kind that are not read; "" is outside all classes.
        splits: the split of each image ("train", "validation" or "test") if the dataset gives it.
        groups: the group of each image if the dataset gives it; "" is no group.
        train_dir: the folder that has the class folders (of the training images); None with labels.csv.
        layout: how the images are labelled, for the summary; "" for class folders.
    """

    root: Path
    class_names: list[str]
    paths: list[str]
    labels: list[int]
    skipped_by_class: dict[str, Counter[str]] = field(default_factory=dict)
    splits: list[str] | None = None
    groups: list[str] | None = None
    train_dir: Path | None = None
    layout: str = ""

    @property
    def skipped(self) -> Counter[str]:
        """The number of files of each kind that are not read."""
        return sum(self.skipped_by_class.values(), Counter())

    def select(self, indices: list[int]) -> "RawDataset":
        """Return the dataset with these images only."""
        return replace(
            self,
            paths=[self.paths[i] for i in indices],
            labels=[self.labels[i] for i in indices],
            splits=self.splits and [self.splits[i] for i in indices],
            groups=self.groups and [self.groups[i] for i in indices],
        )


def list_images(root: Path, nested: Nested = "refuse") -> RawDataset:
    """List the images of a dataset, in the layout that it has.

    Args:
        root: the folder.
        nested: whether folders inside class folders are classes, too.

    Raises:
        UserError: the root is not a folder, an image has no class, or labels.csv or a given split cannot be used.
    """
    if not root.is_dir():
        raise UserError(
            f"{printable(root)} is not a folder; run `python src/render.py {printable(root)}` to create the sample "
            "dataset, or put your own images there (see README.md)"
        )
    if (root / LABELS_FILE).is_file():
        return _list_table(root)
    top = list_folder(root)
    if len(top.folders) == 1:
        _check_not_wrapped(root, top.folders[0])
    is_split = len(top.folders) > 1 and all(name.casefold() in SPLIT_OF_NAME for name in top.folders)
    if is_split and any(list_folder(root / name).folders for name in top.folders):
        return _list_splits(root, top, nested)
    return _merge_classes(root, [find_classes(root, "", nested)])


def _check_not_wrapped(root: Path, folder: str) -> None:
    """Refuse a dataset inside a single folder, as many archives unpack."""
    content = list_folder(root / folder)
    if content.folders or (root / folder / LABELS_FILE).is_file():
        raise UserError(
            f"{printable(root)} has a single folder, {printable(folder)}, with the dataset inside; move the content of "
            f"{printable(root / folder)} to {printable(root)}"
        )


def _list_splits(root: Path, top: Listing, nested: Nested) -> RawDataset:
    """List `root/<split>/<class>/<image>`."""
    outside = ClassFolders({}, {"": top.skipped}, [f"{name} is not in a class folder" for name in top.images])
    dataset = _merge_classes(root, [outside, *(find_classes(root, f"{name}/", nested) for name in top.folders)])
    splits, layout = resolve_splits(printable(root), [path.partition("/")[0] for path in dataset.paths])
    train_dir = next(root / name for name in top.folders if SPLIT_OF_NAME[name.casefold()] == "train")
    return replace(
        dataset, splits=splits, train_dir=train_dir, layout=", ".join(filter(None, (dataset.layout, layout)))
    )


def _merge_classes(root: Path, found: list[ClassFolders]) -> RawDataset:
    """Return all class folders as one dataset.

    Raises:
        UserError: something is misplaced.
    """
    if misplaced := [problem for classes in found for problem in classes.misplaced]:
        fix = "move or remove" + (", or set prepare.nested to join" if any(c.has_nested for c in found) else "")
        raise UserError(format_list(f"{printable(root)} must contain <class>/<image>; {fix}", misplaced))
    class_names = sorted({name for classes in found for name in classes.images})
    index = {class_name: i for i, class_name in enumerate(class_names)}
    images = [
        (path, index[name]) for classes in found for name, paths in sorted(classes.images.items()) for path in paths
    ]
    skipped: dict[str, Counter[str]] = {}
    for classes in found:
        for name, counts in classes.skipped.items():
            skipped[name] = skipped.get(name, Counter()) + counts
    layout = "in nested folders" if any("/" in name for name in class_names) else ""
    paths, labels = [path for path, _ in images], [label for _, label in images]
    return RawDataset(root, class_names, paths, labels, skipped, train_dir=root, layout=layout)


def _list_table(root: Path) -> RawDataset:
    """List the images in `root/labels.csv`, and count those that are not in it."""
    rows = read_labels(root)
    class_names = sorted({row.label for row in rows})
    index = {class_name: i for i, class_name in enumerate(class_names)}
    splits, groups, layout = None, None, f"listed in {LABELS_FILE}"
    if any(row.split for row in rows):
        splits, description = resolve_splits(printable(root / LABELS_FILE), [row.split for row in rows])
        layout += f", {description}"
    if any(row.group for row in rows):
        groups = [row.group for row in rows]
        layout += f", in {len(set(groups) - {''})} groups"
    return RawDataset(
        root,
        class_names,
        [row.file for row in rows],
        [index[row.label] for row in rows],
        {"": count_unlisted(root, {row.file for row in rows})},
        splits,
        groups,
        layout=layout,
    )
