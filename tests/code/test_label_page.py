"""The label page, in Chromium, with a running label.py."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from classifier.kept_images.folder import KeptImages
from support.browser import NEEDS_CHROMIUM, VIEWPORTS
from support.commands import ROOT
from support.kept import keep, make_dataset, png, read_json
from support.stages import start

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = NEEDS_CHROMIUM


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a dataset of two classes, and four kept images."""
    make_dataset(tmp_path / "raw")
    keep(tmp_path / "kept", 0.1, 0.2, 0.3, 0.4)
    return tmp_path


@pytest.fixture
def open_page(browser: Any, project: Path) -> Iterator[Any]:
    """A function that starts label.py, and returns its process and its page in Chromium.

    The page must send no request elsewhere, raise no error and fit the screen.
    """
    problems, pages = [], []
    with ExitStack() as stack:

        def open_page(viewport: str = "desktop") -> tuple[subprocess.Popen[str], Any]:
            process = stack.enter_context(start(project, str(ROOT / "src/label.py"), "kept", "raw"))
            url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
            page = browser.new_page(viewport=VIEWPORTS[viewport])
            page.set_default_timeout(15_000)
            page.on("request", lambda sent: sent.url.startswith((url, "data:")) or problems.append(sent.url))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(url)
            page.wait_for_selector("#classes button")
            pages.append(page)
            return process, page

        yield open_page
        for page in pages:
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            page.close()
            assert overflow <= 0
    assert problems == []


def expect_text(page: Any, selector: str, text: str) -> None:
    sync_api.expect(page.locator(selector)).to_contain_text(text)


def kept_ids(project: Path) -> list[str]:
    return [record.id for record in KeptImages(project / "kept").list_records()[0]]


@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_label_page_labels_and_moves_with_the_keyboard(open_page: Any, project: Path, viewport: str) -> None:
    process, page = open_page(viewport)
    ids = kept_ids(project)
    assert page.locator("#classes button").all_inner_texts() == ["1 Mars", "2 Moon"]
    expect_text(page, "#caption", "Predicted: Mars, 10.0 %.")
    sync_api.expect(page.locator("#image")).to_have_js_property("naturalWidth", 8)
    for key in "2", "1":  # without waiting: each key counts for the next image
        page.keyboard.press(key)
    expect_text(page, "#progress", "2 of 4 images have a label.")
    page.keyboard.press("u")
    expect_text(page, "#message", "Image 2: no label again.")
    page.keyboard.press("n")
    page.keyboard.type("Comet 1m")  # keys are text here
    page.keyboard.press("Enter")
    expect_text(page, "#message", "Image 2: Comet 1m.")
    assert page.locator("#classes button").all_inner_texts() == ["1 Mars", "2 Moon", "3 Comet 1m"]
    page.keyboard.press("x")
    expect_text(page, "#message", "Image 3: none of these.")
    assert [read_json(project / "kept", image_id)["label"] for image_id in ids[:3]] == ["Moon", "Comet 1m", None]
    page.keyboard.press("m")
    sync_api.expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    sync_api.expect(page.get_by_role("dialog")).not_to_be_visible()
    assert not (project / "raw/Moon" / f"{ids[0]}.png").exists()
    expect_text(page, "#detail", "Image 4 of 4")  # and nothing else has changed
    sync_api.expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.keyboard.press("m")
    sync_api.expect(page.get_by_role("dialog")).to_contain_text("Comet 1m: 1")
    assert page.evaluate("document.activeElement.textContent") == "Move"
    page.keyboard.press("Enter")
    expect_text(page, "#message", "2 images were moved to raw.")
    assert not page.locator("#work").is_visible()
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == ""
    assert out.splitlines() == [
        "Moved to raw/Comet 1m: 1",
        "Moved to raw/Moon: 1",
        "None of these classes, not moved from kept: 1",
        "New classes: Comet 1m. Remove train.output_classes from params.yaml, or change it",
        "Now run",
        "  dvc add raw",
        "  dvc repro",
    ]
    assert (project / "raw/Moon" / f"{ids[0]}.png").read_bytes() == png(0)
    assert (project / "raw/Comet 1m" / f"{ids[1]}.png").is_file() and kept_ids(project) == ids[2:]


def test_label_page_shows_errors_and_can_turn_off_its_keys(open_page: Any, project: Path) -> None:
    _, page = open_page()
    page.get_by_label("New class").fill("../x")
    page.get_by_role("button", name="Add").click()
    expect_text(page, "#message.problem", "without slashes")
    page.get_by_label("Use keys").uncheck()
    page.keyboard.press("1")
    page.get_by_role("button", name="Next").click()
    expect_text(page, "#detail", "Image 2 of 4")
    assert not any("label" in read_json(project / "kept", image_id) for image_id in kept_ids(project))
    assert page.get_by_role("button", name="Image 3: no label").is_visible()


def test_label_page_of_two_people_loses_no_label(open_page: Any, project: Path) -> None:
    ids = kept_ids(project)
    (first, page), (second, other) = open_page(), open_page()
    page.keyboard.press("1")
    expect_text(page, "#message", "Image 1: Mars.")
    for _ in range(3):
        other.keyboard.press("ArrowRight")
    other.keyboard.press("2")
    expect_text(other, "#message", "Image 4: Moon.")
    page.keyboard.press("m")
    page.get_by_role("button", name="Move", exact=True).click()  # moves the label of the other, too
    assert "Moved to raw/Mars: 1\nMoved to raw/Moon: 1\n" in first.communicate(timeout=30)[0]
    other.get_by_role("button", name="Image 1: no label").click()
    other.keyboard.press("2")
    expect_text(other, "#message.problem", "it was moved or removed")
    other.keyboard.press("2")
    expect_text(other, "#message", "Image 1: Moon.")
    assert read_json(project / "kept", ids[1])["label"] == "Moon"
    second.send_signal(signal.SIGINT)
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0 and out.startswith("Nothing was moved. The labels are stored;") and err == ""
