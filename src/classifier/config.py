"""Read params.yaml: `load_params(TrainParams)` returns its section `train`, checked and typed."""

import difflib
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from utils.errors import UserError

MAX_FOLDS = 100  # of a cross-validation
Nested = Literal["refuse", "join"]


def _integer(low: int, high: int, **options: Any) -> Any:
    return Field(ge=low, le=high, description=f"a whole number from {low} to {high}", **options)


def _number(low: float, high: float) -> Any:
    return Field(gt=low, lt=high, description=f"a number above {low} and below {high}")


def _zero_to_below_one(default: float) -> Any:
    return Field(ge=0, lt=1, default=default, description="a number from 0 to below 1")


def _zero_to_one(default: float | None = None) -> Any:
    return Field(ge=0, le=1, default=default, description="a number from 0 to 1")


def _choice(*values: str) -> Any:
    return Field(default=values[0], description=" or ".join(values))


Seed = Annotated[int, _integer(0, 2**32 - 1)]  # the range that NumPy and Keras accept
Pixels = Annotated[int, _integer(1, 2048)]


class Params(BaseModel):
    """A section of params.yaml. The descriptions of the fields are part of the error messages."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PrepareParams(Params):
    """How images become arrays: the section `prepare`."""

    seed: Seed
    split: float = _number(0, 1)  # the share of the test set
    # Not strict, because YAML has lists and no tuples.
    image_size: tuple[Pixels, Pixels] = Field(strict=False, description="[height, width], two numbers from 1 to 2048")
    grayscale: bool = Field(description="true or false")
    # Not in the tutorial's params.yaml:
    validation: float = _zero_to_below_one(default=0.1)  # the share of the validation set; 0: the test images validate
    near_duplicates: Literal["together", "separate"] = _choice("together", "separate")
    unreadable: Literal["refuse", "skip"] = _choice("refuse", "skip")
    nested: Nested = _choice("refuse", "join")  # class folders in class folders
    fold: tuple[int, int] | None = Field(
        strict=False,
        default=None,
        description=f"[i, k] for fold i of k, with i from 1 to k and k from 2 to {MAX_FOLDS}",
    )

    @field_validator("fold")
    @classmethod
    def _check_fold(cls, fold: tuple[int, int] | None) -> tuple[int, int] | None:
        if fold and not (1 <= fold[0] <= fold[1] and 2 <= fold[1] <= MAX_FOLDS):
            raise ValueError("out of range")
        return fold

    @property
    def test_share(self) -> float:
        """The share of the test set: `split`, or that of one fold."""
        return 1 / self.fold[1] if self.fold else self.split


class AugmentParams(Params):
    """How much each training image may change in an epoch: the mapping `train.augment`. By default, it is shifted."""

    shift: float = _zero_to_below_one(default=1 / 16)  # of height and width
    flip: bool = Field(default=False, description="true or false")  # half of the images, from left to right
    rotate: float = Field(ge=0, le=180, default=0, description="degrees, a number from 0 to 180")
    zoom: float = _zero_to_below_one(default=0)  # by which an image is enlarged or reduced
    brightness: float = _zero_to_one(default=0)  # the share by which pixels become brighter or darker


class TrainParams(Params):
    """How the network is built and trained: the section `train`."""

    seed: Seed
    lr: float = _number(0, 10)
    epochs: int = _integer(1, 100_000)
    conv_size: int = _integer(1, 4096)
    dense_size: int = _integer(2, 65_536)  # a single unit is always 0 after its normalisation
    output_classes: int | None = _integer(2, 100_000, default=None)  # if given, it must match the dataset
    # Not in the tutorial's params.yaml:
    batch_size: int = _integer(1, 65_536, default=32)  # Keras's default
    patience: int | None = _integer(1, 100_000, default=None)  # epochs without a lower val_loss; None never stops
    max_rejected: float = _zero_to_below_one(default=0.01)  # the share of validation images that may be unknown
    backbone: Literal["none", "efficientnet-lite0"] = _choice("none", "efficientnet-lite0")
    unfreeze: int = _integer(0, 16, default=0)  # the last blocks of the backbone that are fine-tuned
    class_weights: float = _zero_to_one(default=0)  # 0: every image counts the same; 1: every class
    augment: AugmentParams = Field(
        default=AugmentParams(), description=f"keys and values ({', '.join(AugmentParams.model_fields)})"
    )

    def effective(self) -> dict[str, Any]:
        """Return the parameters that have an effect: those of the CNN or those of the backbone, and class weights.

        Those of the augmentation are there, as "augment.shift" and so on, unless all have their defaults.
        """
        unused = {"augment"} | ({"backbone", "unfreeze"} if self.backbone == "none" else {"conv_size", "dense_size"})
        if not self.class_weights:
            unused.add("class_weights")
        augment = {} if self.augment == AugmentParams() else self.augment.model_dump()
        return self.model_dump(exclude_none=True, exclude=unused) | {f"augment.{key}": augment[key] for key in augment}


class EvaluateParams(Params):
    """The quality gates: the section `evaluate`. No stage depends on it; `report.py` reads it."""

    min_acc: float | None = _zero_to_one()  # the lowest val_acc
    max_drop: float | None = _zero_to_one()  # the largest fall of val_acc, if the fall is significant


Section = TypeVar("Section", bound=Params)


def load_params(section: type[Section], path: Path = Path("params.yaml")) -> Section:
    """Read one section of params.yaml. It may be missing or empty if all its keys have defaults.

    Raises:
        UserError: the file is missing or not valid YAML, or a key is missing, unknown, of a wrong type or out of range.
    """
    name = section.__name__.removesuffix("Params").lower()
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))  # YAML 1.2, as DVC reads it
    except FileNotFoundError:
        raise UserError(f"{path} not found; run this from the repository root") from None
    except (YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {_one_line(error)}") from None
    sections = document if isinstance(document, dict) else {}
    is_optional = not any(field.is_required() for field in section.model_fields.values())
    hint = _did_you_mean(name, sections)
    if name not in sections and (hint or not is_optional):
        raise UserError(f"{path}: section '{name}' is missing{hint}")
    values = sections.get(name)
    if values is None and is_optional:
        values = {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: {name}: expected a section with keys and values, got {_short_repr(values)}")
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_describe(error, section, values, name)}") from None


def _describe(error: ValidationError, section: type[Params], values: dict[Any, Any], name: str, depth: int = 0) -> str:
    fields = section.model_fields
    for key in values:  # first, because a misspelt key is also a missing one
        if key not in fields:
            hint = _did_you_mean(key, fields) if isinstance(key, str) else ""
            return f"{name}: unknown key {_short_repr(key)}{hint}; expected {', '.join(fields)}"
    location = error.errors()[0]["loc"]
    key, nested = str(location[depth]), fields[str(location[depth])].annotation
    if isinstance(nested, type) and issubclass(nested, Params) and isinstance(values.get(key), dict):
        return _describe(error, nested, values[key], f"{name}.{key}", depth + 1)
    got = f"got {_short_repr(values[key])}" if key in values else "but it is missing"
    return f"{name}.{key}: expected {fields[key].description}, {got}"


def _did_you_mean(word: str, known: Iterable[object]) -> str:
    matches = difflib.get_close_matches(word, [key for key in known if isinstance(key, str)], n=1)
    return f" (did you mean {_short_repr(matches[0])}?)" if matches else ""


def _short_repr(value: object) -> str:
    return reprlib.repr(value)[:80]


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    reason = f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else str(error)
    return " ".join(reason.split())[:200] or type(error).__name__
