"""classifier.config: params.yaml is read, checked and typed."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.config import EvaluateParams, Params, PrepareParams, TrainParams, load_params
from support.commands import ROOT
from support.projects import SAMPLE_PARAMS
from utils.errors import UserError

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
# Nine levels of nine references each: small as YAML, 400 million elements when written out.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def load_text(tmp_path: Path, text: str, section: type[Params] = TrainParams) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(section, path)


def load_error(tmp_path: Path, text: str, section: type[Params] = TrainParams) -> str:
    with pytest.raises(UserError) as error:
        load_text(tmp_path, text, section)
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    return message.removeprefix(f"{tmp_path}/")


def test_load_params_accepts_the_tutorials_file(tmp_path) -> None:
    prepare = load_text(tmp_path, TUTORIAL, PrepareParams)
    assert prepare == PrepareParams(seed=77, split=0.2, image_size=(32, 32), grayscale=True)
    train = load_text(tmp_path, TUTORIAL)
    values = {"seed": 77, "lr": 0.0001, "epochs": 5, "conv_size": 32, "dense_size": 64, "output_classes": 11}
    # The order is in the metadata.
    assert list(train.effective().items()) == [*values.items(), ("batch_size", 32), ("max_rejected", 0.01)]


@pytest.mark.parametrize("path", [ROOT / "params.yaml", SAMPLE_PARAMS], ids=["committed", "sample"])
def test_load_params_accepts_the_committed_file(path: Path) -> None:
    for section in (PrepareParams, TrainParams, EvaluateParams):
        load_params(section, path)


@pytest.mark.parametrize(("text", "lr"), [("1e-4", 0.0001), ("1", 1.0), ("9.99", 9.99), (".5", 0.5)])
def test_load_params_reads_numbers_as_yaml_1_2(tmp_path, text: str, lr: float) -> None:
    value = load_text(tmp_path, TUTORIAL.replace("0.0001", text)).lr
    assert value == lr and isinstance(value, float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 0.0001", "", "train.lr: expected a number above 0 and below 10, but it is missing"),
        ("lr: 0.0001", "lr: fast", "train.lr: expected a number above 0 and below 10, got 'fast'"),
        ("lr: 0.0001", "lr: 0", "train.lr: expected a number above 0 and below 10, got 0"),
        ("lr: 0.0001", "lr: 10", "train.lr: expected a number above 0 and below 10, got 10"),
        ("lr: 0.0001", "lr: -1", "got -1"),
        ("lr: 0.0001", "lr: .nan", "got nan"),
        ("lr: 0.0001", "lr: .inf", "got inf"),
        ("lr: 0.0001", f"lr: {'9' * 400}", "got 9999"),
        ("lr: 0.0001", "lr: '0.2'", "got '0.2'"),
        ("lr: 0.0001", "lr: yes", "got 'yes'"),
        ("lr: 0.0001", "lr: true", "got True"),
        ("lr: 0.0001", "lr:", "got None"),
        ("lr: 0.0001", "lr: &x [*x]", "got [[["),
        ("epochs: 5", "epochs: 0", "train.epochs: expected a whole number from 1 to 100000, got 0"),
        ("epochs: 5", "epochs: 2.5", "got 2.5"),
        ("epochs: 5", "epochs: true", "got True"),
        ("epochs: 5", "epochs: [1, [2, [3]]]", "got [1, [2, [3]]]"),
        ("output_classes: 11", "output_classes: 1", "train.output_classes: expected a whole number from 2 to"),
        ("lr:", "momentum: 1\n  lr:", "train: unknown key 'momentum'; expected seed, lr, epochs, conv_size, dense_"),
        ("lr:", "5: 1\n  lr:", "train: unknown key 5; expected seed"),
        ("epochs:", "epoch:", "train: unknown key 'epoch' (did you mean 'epochs'?)"),
        ("train:", "trian:", "section 'train' is missing (did you mean 'trian'?)"),
        ("train:", "train: 5\nother:", "train: expected a section with keys and values, got 5"),
        ("train:", "train: [", "is not valid YAML: line "),
        ("train:", "train: {a: &x 1, b: *y}\nq:", "is not valid YAML: line 7: found undefined alias 'y'"),
        ("lr: 0.0001", "lr: 1\n  lr: 2", 'is not valid YAML: line 10: found duplicate key "lr"'),
        ("lr: 0.0001", "lr: !!bool maybe", "is not valid YAML"),
        ("lr: 0.0001", "lr: !!int", "is not valid YAML"),
        ("lr: 0.0001", "lr: 2001-99-99", "is not valid YAML"),
        ("lr: 0.0001", "lr: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_load_params_names_key_expected_and_given_value(tmp_path, old: str, new: str, message: str) -> None:
    assert message in load_error(tmp_path, TUTORIAL.replace(old, new))


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("seed", ["-1", "4294967296", "1.0"], "a whole number from 0 to 4294967295"),
        ("split", ["0", "1", "'0.2'", "true"], "a number above 0 and below 1"),
        ("grayscale", ["yes", "1", "'true'"], "true or false"),
        (
            "image_size",
            ["[0, 32]", "[32]", "[32, 32, 3]", "32", "[2049, 32]", "[32.0, 32]", "[true, 32]", "'32'", "{1: 2, 3: 4}"],
            "[height, width], two numbers from 1 to 2048",
        ),
    ],
)
def test_load_params_rejects_wrong_prepare_values(tmp_path, key: str, values: list[str], expected: str) -> None:
    line = next(line for line in TUTORIAL.splitlines() if line.startswith(f"  {key}:"))
    for value in values:
        message = load_error(tmp_path, TUTORIAL.replace(line, f"  {key}: {value}", 1), PrepareParams)
        assert message.startswith(f"params.yaml: prepare.{key}: expected {expected}, got "), message


def test_load_params_without_file_names_the_folder_to_run_in(tmp_path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml not found; run this from the repository root"):
        load_params(TrainParams, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "section 'train' is missing"),
        (b"just text", "section 'train' is missing"),
        (b"- a list", "section 'train' is missing"),
        (b"\x00", "is not valid YAML"),
        (b"\xff\xfe", "is not valid YAML"),
        (b"{a: " * 50_000, "is not valid YAML"),
        ((BOMB + TUTORIAL.replace("lr: 0.0001", "lr: *i")).encode(), "train.lr"),
        ((BOMB + TUTORIAL.replace("train:", "train: *i\nother:")).encode(), "train: expected a section"),
    ],
    ids=["empty", "text", "list", "nul", "not_utf8", "deep", "bomb_value", "bomb_section"],
)
def test_load_params_with_unusable_document_fails_with_one_line(tmp_path, content: bytes, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_params(TrainParams, path)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


KEYS = st.sampled_from(["prepare", "train", *PrepareParams.model_fields, *TrainParams.model_fields]) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(KEYS, v, max_size=8), max_leaves=12)
CORRECT = yaml.safe_load(TUTORIAL)


def load_or_message(section: type[Params], path: Path) -> Params | str:
    try:
        return load_params(section, path)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("section", [PrepareParams, TrainParams])
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_load_params_with_any_document_returns_a_section_or_fails_with_one_line(
    tmp_path_factory, section, data
) -> None:
    document = data.draw(VALUES | st.fixed_dictionaries({"prepare": VALUES, "train": VALUES}), "document")
    if data.draw(st.booleans(), "almost correct"):
        document = {name: {**values} for name, values in CORRECT.items()}
        values = document[section.__name__.removesuffix("Params").lower()]
        values[data.draw(st.sampled_from(sorted(values)) | st.text(), "key")] = data.draw(VALUES, "value")
    text = data.draw(st.just(yaml.safe_dump(document, allow_unicode=True)) | st.text(), "text")
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    params = load_or_message(section, path)
    if isinstance(params, str):
        assert params and "\n" not in params and len(params) < 400
        return
    assert 0 <= params.seed < 2**32
    if section is TrainParams:
        assert 0 < params.lr < math.inf and params.epochs >= 1 and (params.output_classes or 2) >= 2
    else:
        assert 0 < params.split < 1 and min(params.image_size) >= 1 and isinstance(params.grayscale, bool)
