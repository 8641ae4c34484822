"""A split that the dataset gives: folders such as train and test, or the column `split` of labels.csv."""

from utils.errors import UserError
from utils.files import format_list

SPLIT_OF_NAME = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def resolve_splits(root: str, names: list[str]) -> tuple[list[str], str]:
    """Return the split of each image: "train", "validation" or "test". Without test images, "val" is the test set.

    Many datasets have the folders train and val only, and their published accuracies are those on val. So val takes no
    part in training, and the validation images come from the training images.

    Args:
        root: the dataset, for the error message.
        names: one of SPLIT_OF_NAME per image, in any case.

    Returns:
        The splits, and a description for the summary.

    Raises:
        UserError: there are no training images, or neither test nor validation images.
    """
    splits = [SPLIT_OF_NAME[name.casefold()] for name in names]
    present = {split: name for name, split in zip(names, splits, strict=True)}
    description = f"split as in {', '.join(dict.fromkeys(names))}"
    if "train" not in present:
        raise UserError(f"{root} has a given split without training images; add them as train")
    if "test" not in present:
        if "validation" not in present:
            raise UserError(f"{root} has a given split with training images only; add a test set, or remove the split")
        description += f" ({present['validation']} is the test set)"
        splits = ["test" if split == "validation" else split for split in splits]
    return splits, description


def validate_splits(root: str, class_names: list[str], labels: list[int], splits: list[str]) -> None:
    """Check that each class has training images, and that there are test images.

    Raises:
        UserError: a check failed.
    """
    trained = {label for label, split in zip(labels, splits, strict=True) if split == "train"}
    if missing := [name for label, name in enumerate(class_names) if label not in trained]:
        raise UserError(format_list(f"{root} has classes without training images; add some to train", missing))
    if "test" not in splits:
        raise UserError(f"{root} has no test image; add some to test")
