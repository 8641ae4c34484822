"""The web page, for the project and the classes of the model."""

import re
from collections.abc import Collection
from html import escape
from pathlib import Path

from classifier.serving.keeping import STORES_NOTHING, STORES_UNCERTAIN

PAGE = Path(__file__).with_name("index.html")
SAMPLES = '<section id="try">'


def render_page(title: str, class_names: Collection[str], stores_images: bool = False) -> str:
    """Return index.html with a title. Its sample images are hidden if the model has other classes than they show."""
    notice = STORES_UNCERTAIN if stores_images else STORES_NOTHING
    page = PAGE.read_text("utf-8").replace("{{title}}", escape(title)).replace("{{notice}}", notice)
    shown_classes = re.findall(r"> (\w+)</button>", page)
    if set(shown_classes) <= set(class_names):
        return page
    return page.replace(SAMPLES, SAMPLES.replace(">", " hidden>"))
