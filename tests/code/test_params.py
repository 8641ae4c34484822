"""params.yaml: read, checked and typed."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

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


KEYS = st.sampled_from(["prepare", "train", *params.Prepare.__annotations__, *params.Train.__annotations__]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=8), max_leaves=12)
GOOD = yaml.safe_load(TUTORIAL)


@pytest.mark.parametrize("section", [params.Prepare, params.Train])
@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_document_is_a_section_or_a_failure_of_one_line(tmp_path_factory, section, data) -> None:
    document = data.draw(VALUES | st.fixed_dictionaries({"prepare": VALUES, "train": VALUES}), "document")
    if data.draw(st.booleans(), "nearly right"):
        document = {name: {**values} for name, values in GOOD.items()}
        values = document[section.__name__.lower()]
        values[data.draw(st.sampled_from(sorted(values)) | st.text(), "key")] = data.draw(VALUES, "value")
    text = data.draw(st.just(yaml.safe_dump(document, allow_unicode=True)) | st.text(), "text")
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        loaded = params.load(section, path)
    except Failure as failure:
        assert str(failure) and "\n" not in str(failure) and len(str(failure)) < 800
        return
    assert 0 <= loaded.seed <= params.SEED_MAX
    if section is params.Train:
        assert 0 < loaded.lr < math.inf and loaded.epochs >= 1 and loaded.output_classes >= 2
    else:
        assert 0 < loaded.split < 1 and min(loaded.image_size) >= 1 and isinstance(loaded.grayscale, bool)
