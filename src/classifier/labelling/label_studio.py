"""Read and write Label Studio's JSON: https://labelstud.io/guide/task_format."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from classifier.kept_images.folder import KeptImages
from classifier.kept_images.records import (
    FILE_PATTERN,
    DamagedRecordError,
    MissingImageError,
    Record,
    describe_first,
    write_atomically,
)
from classifier.labelling.moving import check_class_name
from utils.errors import UserError
from utils.files import format_list, printable, read_regular_file

NONE = "none of these"
FROM_NAME, TO_NAME = "label", "image"  # the names of the controls in the labelling configuration
FILE_IN_URL = re.compile(FILE_PATTERN.removeprefix("^"))  # Label Studio puts a folder and a prefix before the name


class _Value(BaseModel):
    choices: list[str] = []


class _Result(BaseModel):
    value: _Value = Field(default_factory=_Value)


class _Annotation(BaseModel):
    result: list[_Result] = []
    was_cancelled: bool = False


class _Task(BaseModel):
    data: dict[str, Any]
    annotations: list[_Annotation] = []

    def find_image_id(self) -> str | None:
        """Return the id of the task's image, or None if it has none of the kept images."""
        urls = [unquote(value) for value in self.data.values() if isinstance(value, str)]
        matches = [match for url in urls if (match := FILE_IN_URL.search(url))]
        return matches[0][0].partition(".")[0] if matches else None

    def list_choices(self) -> set[str]:
        """Return the choices of the last annotation that has some and was not cancelled."""
        annotations = [annotation for annotation in self.annotations if not annotation.was_cancelled]
        choices = [{name for result in a.result for name in result.value.choices} for a in annotations]
        return next(filter(None, reversed(choices)), set())


def import_labels(kept: KeptImages, path: Path, class_names: Iterable[str]) -> int:
    """Store the labels of an export of Label Studio, and return their number.

    Raises:
        UserError: the file cannot be read, or some of its labels cannot be stored; the others are.
    """
    shown = printable(path)
    try:
        tasks = TypeAdapter(list[_Task]).validate_json(read_regular_file(path))
    except ValidationError as error:
        fix = "export the project as JSON"
        raise UserError(f"{shown} is not Label Studio's JSON ({describe_first(error)}); {fix}") from None
    except ValueError as error:
        raise UserError(f"{shown}: {error}") from None
    num_labels, problems = 0, []
    for number, task in enumerate(tasks, 1):
        try:
            num_labels += _import_label(kept, task, class_names)
        except (UserError, MissingImageError, DamagedRecordError) as error:
            problems.append(f"task {number}: {error}")
    if problems:
        raise UserError(
            format_list(f"{shown}: {num_labels} labels were stored, but not those of these tasks", problems)
        )
    return num_labels


def _import_label(kept: KeptImages, task: _Task, class_names: Iterable[str]) -> int:
    choices = task.list_choices()
    if not choices:
        return 0
    image_id = task.find_image_id()
    if image_id is None:
        raise UserError("its data names no kept image")
    if len(choices) > 1:
        raise UserError(f"image {image_id} has several classes: {', '.join(map(printable, sorted(choices)))}")
    (label,) = choices
    if label != NONE:
        check_class_name(label, class_names)
    kept.label(image_id, None if label == NONE else label)
    return 1


def export_tasks(kept: KeptImages, records: list[Record], path: Path) -> None:
    """Write the images as tasks, with the predictions, and with the labels as annotations."""
    folder = quote(kept.folder.resolve().name)
    tasks = []
    for record in records:
        prediction = {"model_version": record.model, "score": record.confidence}
        task: dict[str, Any] = {"data": {TO_NAME: f"/data/local-files/?d={folder}/{record.file}"}}
        task["predictions"] = [prediction | _choose(record.prediction)]
        if record.is_labelled:
            task["annotations"] = [_choose(NONE if record.label is None else record.label)]
        tasks.append(task)
    write_atomically(path, (json.dumps(tasks, indent=2, ensure_ascii=False) + "\n").encode())


def _choose(choice: str) -> dict[str, Any]:
    value = {"choices": [choice]}
    return {"result": [{"from_name": FROM_NAME, "to_name": TO_NAME, "type": "choices", "value": value}]}


def labelling_config(class_names: Iterable[str]) -> str:
    """Return the labelling configuration of a project in Label Studio."""
    choices = "".join(f"<Choice value={quoteattr(name)}/>" for name in [*class_names, NONE])
    image = f'<Image name="{TO_NAME}" value="${TO_NAME}"/>'
    return f'<View>{image}<Choices name="{FROM_NAME}" toName="{TO_NAME}">{choices}</Choices></View>'
