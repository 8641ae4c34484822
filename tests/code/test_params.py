"""params.yaml: read, checked and typed."""

import pytest

from utils import params
from utils.stage import Failure

TUTORIAL = """\
prepare:
  seed: 77
  split: 0.2
  image_size: [32, 32]
  grayscale: True

train:
  seed: 77
  lr: 0.0001
  epochs: 5
  conv_size: 32
  dense_size: 64
  output_classes: 11
"""


def load(tmp_path, text: str, section=params.Train):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return params.load(section, path)


def test_the_tutorials_own(tmp_path) -> None:
    assert load(tmp_path, TUTORIAL, params.Prepare) == params.Prepare(77, 0.2, (32, 32), True)
    assert load(tmp_path, TUTORIAL) == params.Train(77, 0.0001, 5, 32, 64, 11, 32)


def test_ours() -> None:
    assert params.load(params.Train).output_classes == 11
    assert params.load(params.Prepare).image_size


def test_exponents_are_numbers_as_for_dvc(tmp_path) -> None:
    assert load(tmp_path, TUTORIAL.replace("0.0001", "1e-4")).lr == 0.0001


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 0.0001", "", "train.lr is missing"),
        ("lr:", "learning_rate: 1\n  lr:", "train.'learning_rate' is unknown"),
        ("epochs:", "epoch: 5\n  epochs:", "is 'epochs' meant?"),
        ("train:", "trian:", "is 'trian' meant?"),
        ("lr: 0.0001", "lr: 0", "train.lr is 0"),
        ("lr: 0.0001", "lr: -1", "train.lr is -1"),
        ("lr: 0.0001", "lr: .nan", "train.lr is nan"),
        ("lr: 0.0001", "lr: .inf", "train.lr is inf"),
        ("lr: 0.0001", "lr: '0.2'", "train.lr is '0.2'"),
        ("lr: 0.0001", "lr: yes", "train.lr is 'yes'"),
        ("lr: 0.0001", "lr: true", "train.lr is True"),
        ("lr: 0.0001", "lr: null", "train.lr is None"),
        ("lr: 0.0001", "lr:", "train.lr is None"),
        ("epochs: 5", "epochs: 0", "train.epochs is 0"),
        ("epochs: 5", "epochs: 2.5", "train.epochs is 2.5"),
        ("epochs: 5", "epochs: [1, [2, [3]]]", "train.epochs is [1, [2, [3]]]"),
        ("output_classes: 11", "output_classes: 1", "train.output_classes is 1"),
        ("train:", "train: [", "is no YAML"),
        ("train:", "train: {a: &x 1, b: *y}\nq:", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old: str, new: str, message: str) -> None:
    with pytest.raises(Failure) as failure:
        load(tmp_path, TUTORIAL.replace(old, new))
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("split: 0.2", "split: 0"),
        ("split: 0.2", "split: 1"),
        ("split: 0.2", "split: '0.2'"),
        ("image_size: [32, 32]", "image_size: [0, 32]"),
        ("image_size: [32, 32]", "image_size: [32]"),
        ("image_size: [32, 32]", "image_size: 32"),
        ("image_size: [32, 32]", "image_size: [100000, 32]"),
        ("grayscale: True", "grayscale: yes"),
        ("grayscale: True", "grayscale: 1"),
        ("seed: 77", "seed: -1"),
        ("seed: 77", "seed: 4294967296"),
    ],
)
def test_prepare_too(tmp_path, old: str, new: str) -> None:
    with pytest.raises(Failure, match=r"prepare\." + old.split(":")[0]):
        load(tmp_path, TUTORIAL.replace(old, new), params.Prepare)


def test_missing_empty_and_bomb(tmp_path) -> None:
    with pytest.raises(Failure, match="is not here"):
        params.load(params.Train, tmp_path / "params.yaml")
    for text in ("", "just text", "- a list", "\x00"):
        with pytest.raises(Failure):
            load(tmp_path, text)
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(Failure, match=r"train\.lr"):
        load(tmp_path, bomb + TUTORIAL.replace("lr: 0.0001", "lr: *i"))
    with pytest.raises(Failure):
        load(tmp_path, "[" * 100_000)
