"""The web page, in Chromium."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.serving.uploads import MAX_REQUEST_BYTES
from support.browser import NEEDS_CHROMIUM, VIEWPORTS
from support.projects import ARCHIVE_PATH
from support.server import Server
from support.serving import NOISE_PNG

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = NEEDS_CHROMIUM
TEXTS = ("h1", "#drop strong", "#drop span", "#samples button", "#results h3", ".error h3", ".bars span", "footer")


@pytest.fixture(params=VIEWPORTS)
def page(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page on a phone or a desktop. It must send no request elsewhere, raise no error and fit the screen."""
    page = browser.new_page(viewport=VIEWPORTS[request.param], has_touch=request.param == "phone")
    page.set_default_timeout(15_000)
    problems = []
    page.on("request", lambda sent: sent.url.startswith((server.url, "blob:", "data:")) or problems.append(sent.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(server.url)
    yield page
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()
    assert problems == [] and overflow <= 0


def file_payload(name: str = "noise.png", content: bytes = NOISE_PNG) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def dispatch(page: Any, event: str, kind: str, file: dict[str, Any] | None) -> None:
    """Drop or paste one file, or some text if `file` is None."""
    page.evaluate(
        """([event, kind, file]) => {
            const data = new DataTransfer();
            if (file) data.items.add(new File([Uint8Array.from(atob(file.text), (c) => c.charCodeAt())], file.name));
            else data.setData("text/plain", "http://example.invalid/x.png");
            const options = {bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data};
            document.body.dispatchEvent(new window[kind](event, options));
        }""",
        [event, kind, file and {"name": file["name"], "text": base64.b64encode(file["buffer"]).decode()}],
    )


def wait_for_results(page: Any, count: int) -> list[str]:
    """Return the texts of the results, the newest first, when there are `count`."""
    items = page.locator("#results > li")
    sync_api.expect(items).to_have_count(count)
    return items.all_inner_texts()


def test_page_classifies_chosen_dropped_pasted_and_sample_images(page: Any) -> None:
    page.get_by_label("Choose images").set_input_files([file_payload("first.png"), file_payload("second.png")])
    second, first = wait_for_results(page, 2)
    assert "first.png, " in first and "second.png, " in second and " ms" in first
    dispatch(page, "drop", "DragEvent", file_payload("dropped.png"))
    assert "dropped.png" in wait_for_results(page, 3)[0]
    dispatch(page, "paste", "ClipboardEvent", file_payload("pasted.png"))
    assert "pasted.png" in wait_for_results(page, 4)[0]
    page.get_by_role("button", name="Saturn").click()
    assert "sample: Saturn" in wait_for_results(page, 5)[0]

    newest = page.locator("#results > li").first
    assert newest.locator(".bars li").count() == 5
    percentages = [float(text.strip("<% ")) for text in newest.locator(".bars li span:last-child").all_inner_texts()]
    assert percentages == sorted(percentages, reverse=True)
    heading = newest.get_by_role("heading").inner_text()
    assert heading.startswith(newest.locator(".bars li span").first.inner_text())
    assert page.get_by_role("status").inner_text().endswith(heading)
    assert newest.locator("img").evaluate("image => image.naturalWidth") == 96
    assert f"Model {Path(ARCHIVE_PATH).stem}:" in page.locator("footer").inner_text()


def test_page_works_with_the_keyboard(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.locator("#drop").evaluate("drop => getComputedStyle(drop).outline").endswith("solid 3px")
    # Without a screen, Chromium does not always show its file chooser: watch for the click that opens it.
    page.evaluate(
        "() => { document.activeElement.onclick = (event) => { document.body.dataset.opened = event.isTrusted; }; }"
    )
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("body")).to_have_attribute("data-opened", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "sample: Earth" in wait_for_results(page, 1)[0]


def test_page_shows_errors_as_sentences(page: Any) -> None:
    page.get_by_label("Choose images").set_input_files([file_payload("notes.txt", b"some text"), file_payload()])
    good, bad = wait_for_results(page, 2)
    assert "Not a readable image: unknown format." in bad and "no preview" in bad and "noise.png" in good
    page.evaluate(f"classify([new File([new ArrayBuffer({MAX_REQUEST_BYTES + 1})], 'large.png')])")
    assert "larger than 16 MiB" in wait_for_results(page, 3)[0]
    dispatch(page, "drop", "DragEvent", None)
    assert "Save the image first, then drop it." in wait_for_results(page, 4)[0]

    page.route("**/predict", lambda route: route.fulfill(status=429, json={"error": "Too many requests"}))
    page.get_by_role("button", name="Mars").click()
    assert "The service is busy." in wait_for_results(page, 5)[0]
    page.route("**/predict", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    page.get_by_role("button", name="Mars").click()
    assert "failed (502)" in wait_for_results(page, 6)[0]
    page.route("**/predict", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Mars").click()
    assert "The service does not respond." in wait_for_results(page, 7)[0]
    assert "does not respond" in page.get_by_role("status").inner_text()

    page.unroute("**/predict")
    page.get_by_role("button", name="Mars").click()
    assert "sample: Mars" in wait_for_results(page, 8)[0] and page.locator("#results > li.error").count() == 6


def test_page_with_a_kept_image_takes_its_label(page: Any) -> None:
    """The service of these tests keeps no images, so this test responds in its place."""
    kept, sent = "0" * 32, []
    body = {"prediction": "Mars", "probabilities": {"Mars": 0.5, "Moon": 0.5}, "model": "model:1", "kept": kept}
    page.route("**/predict", lambda route: route.fulfill(json=body))
    page.route("**/label", lambda route: sent.append(route.request.post_data_json) or route.fulfill(json={}))
    page.get_by_role("button", name="Mars").click()
    wait_for_results(page, 1)
    form, choice = page.locator("form.correction"), page.get_by_label("The correct class")
    assert choice.locator("option").all_inner_texts() == ["Choose a class", "Mars", "Moon", "None of these"]
    choice.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # nothing is chosen yet
    for option, text in (("Moon", "Saved: Moon."), ("None of these", "Saved: none of these.")):
        choice.select_option(option)
        page.get_by_role("button", name="Save").press("Enter")
        sync_api.expect(form.get_by_role("status")).to_contain_text(text)
    assert sent == [{"image": kept, "label": "Moon"}, {"image": kept, "label": None}]
    page.route("**/label", lambda route: route.fulfill(status=404, json={"error": "there is no such image"}))
    page.get_by_role("button", name="Save").click()
    sync_api.expect(form.get_by_role("status")).to_contain_text("There is no such image.")


def test_docs_page_shows_the_api_without_external_content(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/docs")
    sync_api.expect(page.locator(".opblock-summary-path", has_text="/predict")).to_have_count(2)
    assert page.locator("img[src^=http], iframe").count() == 0


def relative_luminance(color: str) -> float:
    """Return the relative luminance of a CSS color, rgb(r, g, b): https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    rgb = np.array([int(value) for value in color.removeprefix("rgb(").rstrip(")").split(",")]) / 255
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_texts_have_enough_contrast(browser: Any, server: Server, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(server.url)
    page.get_by_label("Choose images").set_input_files([file_payload(), file_payload("bad.png", b"x")])
    wait_for_results(page, 2)
    for selector in TEXTS:
        color, background = page.locator(selector).first.evaluate(
            """element => {
                const color = getComputedStyle(element).color;
                const background = () => getComputedStyle(element).backgroundColor;
                while (background() === "rgba(0, 0, 0, 0)") element = element.parentElement;
                return [color, background()];
            }"""
        )
        low, high = sorted((relative_luminance(color), relative_luminance(background)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{selector}: {color} on {background}"
        assert (relative_luminance(background) < 0.5) == (scheme == "dark")
    page.close()
