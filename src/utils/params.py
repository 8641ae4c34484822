"""params.yaml: read once, checked and typed. `params.load(params.Train)` gives the section `train`."""

import dataclasses
import difflib
import re
import reprlib
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from utils.stage import Failure

SEED_MAX = 2**32 - 1  # what NumPy and Keras take


def _from(low: float, high: float, default: Any = MISSING) -> Any:
    """A number from `low` to `high`; both ends belong to it, for a float neither does."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Prepare:
    """How pictures become arrays: the section `prepare`."""

    seed: int = _from(0, SEED_MAX)
    split: float = _from(0, 1)
    image_size: tuple[int, int] = _from(1, 2048)  # height, width in pixels
    grayscale: bool = field()


@dataclass(frozen=True)
class Train:
    """How the network looks and learns: the section `train`."""

    seed: int = _from(0, SEED_MAX)
    lr: float = _from(0, 10)
    epochs: int = _from(1, 100_000)
    conv_size: int = _from(1, 4096)
    dense_size: int = _from(1, 65_536)
    output_classes: int = _from(2, 100_000)
    batch_size: int = _from(1, 65_536, default=32)  # not among the tutorial's; Keras's own default


Section = TypeVar("Section", Prepare, Train)


def load(section: type[Section], path: Path = Path("params.yaml")) -> Section:
    """Read one section of params.yaml.

    Raises:
        Failure: no file, no YAML, or a key that is missing, unknown, of a wrong type or out of range.
    """
    name = section.__name__.lower()
    try:
        content = yaml.load(path.read_text("utf-8"), _Yaml12)
    except FileNotFoundError:
        raise Failure(f"{path} is not here; run from the repository's top folder") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise Failure(f"{path} is no YAML: {reason[:300]}") from None
    if not isinstance(content, dict):
        raise Failure(f"{path} has no section '{name}'; it needs 'prepare:' and 'train:'")
    values = content.get(name)
    if not isinstance(values, dict):
        raise Failure(f"{path} has no section '{name}'{_near(name, content)}")

    fields = {f.name: f for f in dataclasses.fields(section)}
    for key in values:
        if key not in fields:
            raise Failure(f"{path}: {name}.{_brief(key)} is unknown{_near(key, fields)}; known are {', '.join(fields)}")
    for key, f in fields.items():
        if key not in values and f.default is MISSING:
            raise Failure(f"{path}: {name}.{key} is missing")
    return section(**{key: _checked(f"{path}: {name}.{key}", value, fields[key]) for key, value in values.items()})


def _checked(where: str, value: Any, f: dataclasses.Field) -> Any:
    low, high = f.metadata.get("low"), f.metadata.get("high")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if f.type is bool:
        expected, fits = "true or false", isinstance(value, bool)
    elif f.type is float:
        expected, fits = f"a number over {low} and under {high}", number and low < value < high
    elif f.type is int:
        expected, fits = f"a whole number from {low} to {high}", type(value) is int and low <= value <= high
    else:
        expected = f"two whole numbers from {low} to {high}, [height, width]"
        fits = isinstance(value, list) and len(value) == 2 and all(type(v) is int and low <= v <= high for v in value)
    if not fits:
        raise Failure(f"{where} is {_brief(value)}; it has to be {expected}")
    return tuple(value) if isinstance(value, list) else float(value) if f.type is float else value


def _near(key: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(key), [str(k) for k in known], n=1) if isinstance(key, str) else []
    return f" (is '{close[0]}' meant?)" if close else ""


def _brief(value: Any) -> str:
    """A value as it may stand in an error: one line, short, however large or deep it is."""
    return reprlib.repr(value)


class _Yaml12(yaml.SafeLoader):
    """YAML 1.2 scalars, as DVC reads them: 1e-3 is a number and yes is a string, other than in YAML 1.1."""

    yaml_implicit_resolvers: ClassVar[dict] = {}


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
):
    _Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
