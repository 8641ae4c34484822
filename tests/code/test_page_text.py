"""The text of the web page, without a browser."""

import pytest

from classifier.sample.specs import BODY_SPECS
from classifier.serving.page import SAMPLES, render_page


def test_render_page_shows_title_and_samples() -> None:
    page = render_page("Celestial bodies classifier", [*BODY_SPECS])
    assert "<title>Celestial bodies classifier</title>" in page and "<h1>Celestial bodies classifier</h1>" in page
    assert SAMPLES in page and "{{" not in page


@pytest.mark.parametrize("class_names", [["cat", "dog"], ["Earth", "Mars"]])
def test_render_page_of_a_model_with_other_classes_hides_the_samples(class_names: list[str]) -> None:
    page = render_page("Animals", class_names)
    assert SAMPLES not in page and '<section id="try" hidden>' in page
