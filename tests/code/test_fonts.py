"""utils.fonts: figures show no empty boxes for characters that the font lacks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from classifier.data.dataset import Split
from classifier.data.preview import draw_preview
from utils.fonts import drawable_names, font_path, warn_about_substitutes

NAMES = {
    "cat": "cat",
    "$x^2$": "$x^2$",
    "Vénus": "Vénus",
    "Ωмега": "Ωмега",
    "火星": "#4",
    "火星 (Mars)": "#5 (Mars)",
    "cat 🪐": "#6 cat",
    "猫🪐犬": "#7",
}


def test_drawable_names_replace_characters_that_the_font_lacks_by_the_index() -> None:
    assert drawable_names(list(NAMES)) == list(NAMES.values())


def test_warning_names_the_replaced_classes_and_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    warn_about_substitutes(["cat", "Vénus"], Path("labels.json"))
    assert capsys.readouterr().err == ""
    warn_about_substitutes(["cat", "火星"], Path("labels.json"))
    error = capsys.readouterr().err
    assert error.endswith("lacks characters of some class names; labels.json has them: #1 is 火星\n")
    assert error.count("\n") == 1


def test_preview_has_no_boxes() -> None:
    """A box is what the font draws for a character that it lacks."""
    split = Split(np.zeros((3, 4, 4, 3), np.uint8), np.arange(3, dtype=np.int32), ["a", "b", "c"])

    def draw_labels(*names: str) -> list[bytes]:
        preview = draw_preview(split, list(names))
        return [preview.crop((0, y, 130, y + 64)).tobytes() for y in (0, 66, 132)]

    cat, venus, mars = draw_labels("cat", "Vénus", "火星")
    assert [cat, mars] == [draw_labels("cat", "x", "#2")[0], draw_labels("cat", "x", "#2")[2]]
    expected = Image.new("RGB", (130, 64), "white")
    font = ImageFont.truetype(font_path(), 14, layout_engine=ImageFont.Layout.BASIC)
    ImageDraw.Draw(expected).text((120, 32), "Vénus", "black", font, anchor="rm")
    assert venus == expected.tobytes()
