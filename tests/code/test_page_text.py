"""The text of the web page, without a browser."""

import pytest

from classifier.sample.specs import BODY_SPECS
from classifier.serving.keeping import STORES_NOTHING, STORES_UNCERTAIN
from classifier.serving.page import SAMPLES, render_page


def test_render_page_shows_title_and_samples() -> None:
    page = render_page("Celestial bodies classifier", [*BODY_SPECS])
    assert "<title>Celestial bodies classifier</title>" in page and "<h1>Celestial bodies classifier</h1>" in page
    assert SAMPLES in page and "{{" not in page


@pytest.mark.parametrize("class_names", [["cat", "dog"], ["Earth", "Mars"]])
def test_render_page_of_a_model_with_other_classes_hides_the_samples(class_names: list[str]) -> None:
    page = render_page("Animals", class_names)
    assert SAMPLES not in page and '<section id="try" hidden>' in page


@pytest.mark.parametrize(("stores_images", "notice"), [(False, STORES_NOTHING), (True, STORES_UNCERTAIN)])
def test_render_page_says_whether_images_are_stored(stores_images: bool, notice: str) -> None:
    page = render_page("Animals", ["cat"], stores_images)
    assert [text in page for text in (STORES_NOTHING, STORES_UNCERTAIN)].count(True) == 1 and notice in page
