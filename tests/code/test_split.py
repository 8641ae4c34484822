"""classifier.data.split: training and test set, chosen by content."""

import hashlib
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classifier.config import PrepareParams
from classifier.data.discovery import ImageFolder
from classifier.data.split import hash_files, hash_images, split_by_content, warn_about_label_conflicts
from utils.errors import UserError
from utils.parallel import Pool

PARAMS = PrepareParams(seed=77, split=0.25, image_size=(8, 8), grayscale=False)


def digest(content: object) -> bytes:
    return hashlib.sha256(repr(content).encode()).digest()


def split(contents: list[object], labels: list[int], **changes: float) -> tuple[list[int], list[int]]:
    """Split images with these contents; class i is named "class i"."""
    class_names = [f"class {i}" for i in range(max(labels) + 1)]
    splits = split_by_content(list(map(digest, contents)), labels, class_names, PARAMS.model_copy(update=changes))
    assert list(splits) == ["train", "test"]
    assert sorted(splits["train"] + splits["test"]) == list(range(len(contents)))
    return splits["train"], splits["test"]


@pytest.mark.parametrize("share", [0.01, 0.2, 0.25, 0.5, 0.99])
def test_split_takes_the_share_of_each_class(share: float) -> None:
    labels = [0] * 2 + [1] * 12 + [2] * 40
    _, test = split(list(range(54)), labels, split=share)
    for label, count in Counter(labels).items():
        num_test = sum(labels[i] == label for i in test)
        assert num_test == min(max(round(share * count), 1), count - 1)


def test_split_is_the_first_share_of_each_class_in_the_order_of_the_hash() -> None:
    contents, labels = list(range(24)), [0, 1, 2] * 8
    order = sorted(contents, key=lambda i: hashlib.sha256(PARAMS.seed.to_bytes(8, "little") + digest(i)).digest())
    train, test = split(contents, labels)
    expected = {i for label in range(3) for i in [i for i in order if labels[i] == label][:2]}
    assert test == [i for i in order if i in expected]
    assert train == [i for i in order if i not in expected]


def test_split_does_not_depend_on_the_order_of_the_images() -> None:
    images = [(content, content % 3) for content in range(60)]
    expected = {images[i] for i in split(*map(list, zip(*images, strict=True)))[1]}
    for seed in range(5):
        random.Random(seed).shuffle(images)
        assert {images[i] for i in split(*map(list, zip(*images, strict=True)))[1]} == expected


def test_split_depends_on_the_seed() -> None:
    contents, labels = list(range(40)), [0, 1] * 20
    assert split(contents, labels)[1] != split(contents, labels, seed=78)[1]


def test_split_moves_at_most_one_image_when_one_is_added() -> None:
    contents, labels = list(range(40)), [0, 1] * 20
    before = set(split(contents, labels)[1])
    for added in range(100, 130):
        changed = before ^ set(split([*contents, added], [*labels, 0])[1])
        assert len(changed - {40}) <= 1
        assert all(i == 40 or labels[i] == 0 for i in changed)


def test_split_keeps_identical_images_together_even_across_classes() -> None:
    rng = random.Random(7)
    for _ in range(50):
        contents = [rng.randrange(30) for _ in range(60)]
        labels = [rng.randrange(2) for _ in contents]
        train, test = split(contents, labels, split=0.3)
        assert not {contents[i] for i in train} & {contents[i] for i in test}
        assert {labels[i] for i in train} == {labels[i] for i in test} == {0, 1}


@pytest.mark.parametrize(
    ("contents", "labels"), [([1, 2, 3], [0, 0, 1]), ([1, 2, 3, 3, 3], [0, 0, 1, 1, 1])], ids=["one", "duplicates"]
)
def test_split_rejects_class_with_one_image(contents: list[object], labels: list[int]) -> None:
    with pytest.raises(UserError, match="class 1 has too few different images for training and testing; add some"):
        split(contents, labels)


def test_hash_files_hashes_content_and_the_name_of_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").write_bytes(b"content")
    (tmp_path / "endless").symlink_to("/dev/zero")
    a, b, missing, endless = hash_files(tmp_path, ["a", "b", "missing", "endless"])
    assert a == b == hashlib.sha256(b"content").digest()
    assert len({a, missing, endless}) == 3


def test_hash_images_returns_the_digests_in_order(tmp_path: Path) -> None:
    paths = [f"{i:03}" for i in range(600)]
    for path in paths:
        (tmp_path / path).write_text(path)
    with ThreadPoolExecutor(2) as executor:
        digests = hash_images(Pool(executor, 2), ImageFolder(tmp_path, [], paths, 0))
    assert digests == [hashlib.sha256(path.encode()).digest() for path in paths]


def test_warn_about_label_conflicts_names_images_of_several_classes(capsys) -> None:
    paths = ["Mars/1.jpg", "Mars/2.jpg", "Mars/copy.jpg", "Moon/1.jpg", "Moon/2.jpg"]
    dataset = ImageFolder(Path("raw"), ["Mars", "Moon"], paths, 0)
    warn_about_label_conflicts(dataset, list(map(digest, [1, 2, 1, 4, 5])))
    assert capsys.readouterr().out == ""
    warn_about_label_conflicts(dataset, list(map(digest, [1, 2, 1, 1, 5])))
    assert capsys.readouterr().out == (
        "warning: raw has the same image in several classes (1):\n  Mars/1.jpg and Mars/copy.jpg and Moon/1.jpg\n"
    )
