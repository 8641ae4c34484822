"""The page, driven in Chromium as a person would."""

import base64
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from utils import web

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt install chromium")

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def page(browser, server, request):
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height}, has_touch=request.param == "phone")
    page.set_default_timeout(15_000)
    strange = []
    page.on("request", lambda sent: sent.url.startswith((server.url, "blob:", "data:")) or strange.append(sent.url))
    page.on("pageerror", lambda error: strange.append(str(error)))
    page.goto(server.url)
    yield page
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()
    assert strange == [] and wider <= 0


def picture(name: str = "noise.png") -> dict:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (40, 40, 3), np.uint8)).save(stream, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": stream.getvalue()}


def hand_over(page, event: str, kind: str, file: dict | None) -> None:
    """Drop or paste one file, or some text, on the page."""
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


def answers(page, count: int) -> list[str]:
    """The texts of the answers, the newest first, once there are so many."""
    items = page.locator("#results > li")
    sync_api.expect(items).to_have_count(count)
    return items.all_inner_texts()


def test_choose_drop_paste_and_try_a_sample(page, server) -> None:
    page.get_by_label("Choose pictures").set_input_files([picture("first.png"), picture("second.png")])
    second, first = answers(page, 2)
    assert "first.png, " in first and "second.png, " in second and " ms" in first
    hand_over(page, "drop", "DragEvent", picture("dropped.png"))
    assert "dropped.png" in answers(page, 3)[0]
    hand_over(page, "paste", "ClipboardEvent", picture("pasted.png"))
    assert "pasted.png" in answers(page, 4)[0]
    page.get_by_role("button", name="Saturn").click()
    assert "sample: Saturn" in answers(page, 5)[0]

    newest = page.locator("#results > li").first
    assert newest.locator(".bars li").count() == 5
    shares = [float(text.strip("<% ")) for text in newest.locator(".bars li span:last-child").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    heading = newest.get_by_role("heading").inner_text()
    assert heading.startswith(newest.locator(".bars li span").first.inner_text())
    assert page.get_by_role("status").inner_text().endswith(heading)
    assert newest.locator("img").evaluate("image => image.naturalWidth") == 96
    assert "Model celestial_bodies_classifier_model:" in page.locator("footer").inner_text()


def test_the_keyboard_is_enough(page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    assert page.locator("#drop").evaluate("drop => getComputedStyle(drop).outline").endswith("solid 3px")
    # Without a screen, Chromium shows its chooser only at times, so watch for the click that asks for it.
    page.evaluate("() => { document.activeElement.onclick = (event) => { window.opened = event.isTrusted; }; }")
    page.keyboard.press("Enter")
    page.wait_for_function("window.opened")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "sample: Earth" in answers(page, 1)[0]


def test_errors_are_in_words(page) -> None:
    page.get_by_label("Choose pictures").set_input_files([{**picture("notes.txt"), "buffer": b"some text"}, picture()])
    good, bad = answers(page, 2)
    assert "Not a readable picture: unknown format." in bad and "no preview" in bad and "noise.png" in good
    page.evaluate(f"classify([new File([new ArrayBuffer({web.MAX_BYTES + 1})], 'large.png')])")
    assert "larger than 16 MiB" in answers(page, 3)[0]
    hand_over(page, "drop", "DragEvent", None)
    assert "Save the picture first, then drop it." in answers(page, 4)[0]
    page.route("**/predict", lambda route: route.fulfill(status=429, json={"error": "Too many requests"}))
    page.get_by_role("button", name="Mars").click()
    assert "The service is busy." in answers(page, 5)[0]
    page.route("**/predict", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    page.get_by_role("button", name="Mars").click()
    assert "failed (502)" in answers(page, 6)[0]
    page.route("**/predict", lambda route: route.abort("connectionrefused"))
    page.get_by_role("button", name="Mars").click()
    assert "The service does not answer." in answers(page, 7)[0]
    assert "does not answer" in page.get_by_role("status").inner_text()
    page.unroute("**/predict")
    page.get_by_role("button", name="Mars").click()
    assert "sample: Mars" in answers(page, 8)[0] and page.locator("#results > li.error").count() == 6


def test_the_api_is_described_without_a_word_to_others(page, server) -> None:
    page.goto(f"{server.url}/docs")
    sync_api.expect(page.locator(".opblock-summary-path", has_text="/predict")).to_have_count(2)
    assert page.locator("img[src^=http], iframe").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, server, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.goto(server.url)
    page.get_by_label("Choose pictures").set_input_files([picture(), {**picture("bad.png"), "buffer": b"x"}])
    answers(page, 2)

    def luminance(color: str) -> float:
        """Relative luminance, WCAG 2.2."""
        parts = [int(c) / 255 for c in color.removeprefix("rgb(").rstrip(")").split(",")]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))

    for selector in (
        "h1",
        "#drop strong",
        "#drop span",
        "#samples button",
        "#results h3",
        ".error h3",
        ".bars span",
        "footer",
    ):
        text, ground = page.locator(selector).first.evaluate(
            """element => {
                const ground = () => getComputedStyle(element).backgroundColor, color = getComputedStyle(element).color;
                while (ground() === "rgba(0, 0, 0, 0)") element = element.parentElement;
                return [color, ground()];
            }"""
        )
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{selector}: {text} on {ground}"
        assert (luminance(ground) < 0.5) == (scheme == "dark")
    page.close()
