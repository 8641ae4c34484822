"""Warnings about numbers of images, for `prepare.py`, the model card and the report."""

from collections.abc import Callable, Mapping

from utils.files import printable, shorten_list

MAX_IMBALANCE = 10  # times as many images in the largest class as in the smallest
MIN_TEST_IMAGES = 5  # one wrong prediction of fewer images changes the recall of the class by more than 20 points


def count_warnings(
    counts: Mapping[str, Mapping[str, int]],
    quote: Callable[[str], str] = printable,
    leaks: int = 0,
    counted: str = "images",
) -> list[str]:
    """Return warnings: the classes are imbalanced, some have few test images, or test images leak.

    Args:
        counts: for each class, the number of its images in each split.
        quote: formats the name of a class.
        leaks: the number of test images that are near-duplicates of training images.
        counted: what `counts` contains: "images", or only "test images".
    """
    totals = {name: sum(splits.values()) for name, splits in counts.items()}
    largest, smallest = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    warnings = []
    ratio = totals[largest] / max(totals[smallest], 1)
    if ratio > MAX_IMBALANCE:
        warnings.append(
            f"The classes are imbalanced: {quote(largest)} has {ratio:,.0f} times as many {counted} as "
            f"{quote(smallest)}. Look at the balanced accuracy, not at the accuracy alone."
        )
    if few := {name: splits["test"] for name, splits in counts.items() if splits["test"] < MIN_TEST_IMAGES}:
        names = shorten_list([f"{quote(name)} ({count})" for name, count in few.items()])
        warnings.append(f"Classes with fewer than {MIN_TEST_IMAGES} test images: {names}. Their scores say little.")
    if leaks:
        total = sum(splits["test"] for splits in counts.values())
        warnings.append(
            f"{leaks} of {total} test images are near-duplicates of training images. "
            "So the accuracy for new images is lower."
        )
    return warnings
