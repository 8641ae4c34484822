"""`evaluate.py` in this process, with inputs that are missing, damaged or of another project."""

from pathlib import Path

import pytest

from support.evaluation import HISTORY, BrightnessModel, run_main, write_project
from utils.errors import UserError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


@pytest.mark.parametrize("class_names", [["dark", "light"], ["bright", "dark"], ["dark", "bright", "other"]])
def test_main_with_model_of_other_classes_fails(project: Path, class_names: list[str]) -> None:
    with pytest.raises(UserError, match="trained on other classes or another image size"):
        run_main(project, BrightnessModel(), class_names)


def test_main_with_model_of_other_image_size_fails(project: Path) -> None:
    model = BrightnessModel()
    model.input_shape = (None, 3, 4, 3)
    with pytest.raises(UserError, match="trained on other classes or another image size"):
        run_main(project, model)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("data/prepared/labels.json", None, "is missing"),
        ("data/prepared/labels.json", b"{", "is damaged"),
        ("data/prepared/labels.json", b'["Mars"]', "is not a list of different class names"),
        ("data/prepared/test/images.npy", None, "is missing"),
        ("data/prepared/test/images.npy", 150, "is damaged"),
        ("data/prepared/train/labels.npy", 20, "is damaged"),
        ("data/prepared/test/files.json", b"[]", "differ in number"),
        ("model/history.csv", None, "is missing"),
        ("model/history.csv", b"", "is damaged"),
        ("model/history.csv", b"epoch,loss\n0,x\n", "is damaged"),
        ("model/history.csv", HISTORY[:-5].encode(), "is damaged"),
        ("model/history.csv", HISTORY.replace("1.5", "one").encode(), "is damaged"),
        ("model/history.csv", HISTORY.replace("1.5", "nan").encode(), "is damaged"),
        ("model/history.csv", b"\xff\xfe", "is damaged"),
        ("model/celestial_bodies_classifier_model.bentomodel", None, "is missing"),
        ("model/celestial_bodies_classifier_model.bentomodel", b"a random file", "is damaged"),
    ],
)
def test_main_with_missing_or_damaged_input_names_the_file(
    project: Path, path: str, content: bytes | int | None, message: str
) -> None:
    """A number truncates the file to this many bytes; None deletes it."""
    file = project / path
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    with pytest.raises(UserError, match=message) as error:
        run_main(project)
    assert str(error.value).startswith(path.rsplit("/", 1)[0])
    assert not (project / "evaluation").exists()
