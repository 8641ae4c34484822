"""Label Studio's JSON: what is written and read, and how that fails."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from classifier.kept_images.folder import KeptImages
from classifier.labelling.label_studio import export_tasks, import_labels, labelling_config
from support.commands import ROOT, assert_fails, run, run_ok
from support.kept import MODEL, keep, png, read_json
from utils.errors import UserError

CLASSES = ["Mars", "Moon"]


def annotation(*choices: str, **values: Any) -> dict[str, Any]:
    """Return an annotation as Label Studio exports it."""
    result = {"id": "a", "type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": [*choices]}}
    return {"id": 7, "completed_by": 1, "was_cancelled": False, "result": [result], **values}


def task(image_id: str, *annotations: dict[str, Any], url: str = "/data/upload/1/6f3a2b1c-{}.png") -> dict[str, Any]:
    return {"id": 1, "data": {"image": url.format(image_id)}, "annotations": [*annotations], "predictions": []}


def import_tasks(folder: Path, tasks: Any) -> int:
    file = folder.parent / "export.json"
    file.write_text(json.dumps(tasks))
    return import_labels(KeptImages(folder), file, CLASSES)


def test_export_then_import_gives_the_same_labels(tmp_path: Path) -> None:
    folder, file = tmp_path / "kept images", tmp_path / "tasks.json"
    ids = keep(folder, 0.5, 0.6, 0.7)
    kept = KeptImages(folder)
    kept.label(ids[0], "Moon")
    kept.label(ids[1], None)
    before = [read_json(folder, image_id) for image_id in ids]
    export_tasks(kept, kept.list_records()[0], file)
    tasks = json.loads(file.read_text())
    assert [item["data"]["image"] for item in tasks] == [f"/data/local-files/?d=kept%20images/{i}.png" for i in ids]
    assert [item["predictions"][0]["score"] for item in tasks] == [0.5, 0.6, 0.7]
    assert tasks[0]["predictions"][0]["model_version"] == MODEL
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["Moon"]}}
    assert tasks[0]["annotations"] == [{"result": [result]}] and "annotations" not in tasks[2]
    for image_id in ids:
        kept.unlabel(image_id)
    assert import_labels(kept, file, CLASSES) == 2
    assert [read_json(folder, image_id) for image_id in ids] == before


@pytest.mark.parametrize(
    ("annotations", "label"),
    [
        ([annotation("Mars")], "Mars"),
        ([annotation("Mars"), annotation("Moon")], "Moon"),
        ([annotation("Mars"), annotation("Moon", was_cancelled=True)], "Mars"),
        ([annotation("Comet")], "Comet"),
        ([annotation("none of these")], None),
    ],
)
@pytest.mark.parametrize(
    "url", ["/data/upload/1/6f3a2b1c-{}.png", "s3://bucket/kept/{}.png", "/data/local-files/?d=a%2F{}.png"]
)
def test_import_labels_stores_the_last_annotation(
    tmp_path: Path, annotations: list[Any], label: str | None, url: str
) -> None:
    (image_id,) = keep(tmp_path / "kept", 0.5)
    assert import_tasks(tmp_path / "kept", [task(image_id, *annotations, url=url)]) == 1
    assert read_json(tmp_path / "kept", image_id)["label"] == label


@pytest.mark.parametrize("annotations", [[], [annotation()], [annotation("Mars", was_cancelled=True)]])
def test_import_labels_without_a_choice_stores_nothing(tmp_path: Path, annotations: list[Any]) -> None:
    (image_id,) = keep(tmp_path / "kept", 0.5)
    assert import_tasks(tmp_path / "kept", [task(image_id, *annotations)]) == 0
    assert "label" not in read_json(tmp_path / "kept", image_id)


def test_import_labels_names_each_task_that_cannot_be_stored(tmp_path: Path) -> None:
    good, missing, slash, several = keep(tmp_path / "kept", 0.5, 0.5, 0.5, 0.5)
    (tmp_path / f"kept/{missing}.png").unlink()
    tasks = [
        task(missing, annotation("Mars")),
        task("f" * 32, annotation("Mars")),
        task("other", annotation("Mars")),
        task(slash, annotation("../Mars")),
        task(several, annotation("Mars", "Moon")),
        task(good, annotation("Mars")),
    ]
    with pytest.raises(UserError) as error:
        import_tasks(tmp_path / "kept", tasks)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("1 labels were stored, but not those of these tasks (5):")
    for line, part in zip(
        lines[1:], ("missing", "there is no image fff", "no kept image", "slashes", "several"), strict=True
    ):
        assert part in line
    assert read_json(tmp_path / "kept", good)["label"] == "Mars"


@pytest.mark.parametrize(
    "content", ["", "{", "{}", "[1]", '[{"data": 1}]', '[{"image": "x.png", "choice": "Mars"}]', "\0"]
)
def test_import_labels_from_another_format_raises_user_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=r"x\.json is not Label Studio's JSON \(.+\); export the project as JSON"):
        import_labels(KeptImages(tmp_path), tmp_path / "x.json", CLASSES)


def test_labelling_config_is_xml_with_all_classes() -> None:
    config = ET.fromstring(labelling_config(["Mars", 'a "b" & <c>']))
    assert [choice.get("value") for choice in config.iter("Choice")] == ["Mars", 'a "b" & <c>', "none of these"]
    choices, image = config.find("Choices"), config.find("Image")
    assert choices.get("toName") == image.get("name") == "image" and image.get("value") == "$image"


def test_label_exports_and_imports_files(tmp_path: Path) -> None:
    (image_id,) = keep(tmp_path / "kept", 0.5)
    for name in CLASSES:
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "1.png").write_bytes(png(200))
    command = (str(ROOT / "src/label.py"), "kept", "raw")
    out = run_ok(tmp_path, *command, "--export", "tasks.json")
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}" in out and '<Choice value="Moon"/>' in out
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps([{**tasks[0], "annotations": [annotation("Moon")]}]))
    out = run_ok(tmp_path, *command, "--import", "export.json")
    assert out == "1 labels stored; to move the images, run `python src/label.py kept raw`\n"
    assert read_json(tmp_path / "kept", image_id)["label"] == "Moon"
    assert_fails(run(tmp_path, *command, "--import", "none.json"), "label.py: none.json: No such file or directory")
    assert_fails(run(tmp_path, *command, "--export", "none/x.json"), "label.py: none/x.json: No such file or directory")
