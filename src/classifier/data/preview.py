"""Draw an overview of the prepared images."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import Layout

from classifier.data.dataset import Split
from utils.fonts import drawable_names, font_path

MAX_ROWS = 20


def draw_preview(split: Split, class_names: list[str], columns: int = 10, cell_px: int = 64) -> Image.Image:
    """Draw the first images of each class: one row per class, for at most MAX_ROWS classes, with its name."""
    rows, label_width, pitch = min(len(class_names), MAX_ROWS), 130, cell_px + 2
    default_font = ImageFont.load_default(14)  # has ASCII only
    canvas = Image.new("RGB", (label_width + columns * pitch, rows * pitch), "white")
    draw = ImageDraw.Draw(canvas)
    for row, name in enumerate(drawable_names(class_names)[:rows]):
        y = row * pitch
        font = default_font if name.isascii() else ImageFont.truetype(font_path(), 14, layout_engine=Layout.BASIC)
        draw.text((label_width - 10, y + cell_px // 2), name, "black", font, anchor="rm")
        for column, i in enumerate(np.flatnonzero(split.labels == row)[:columns]):
            image = Image.fromarray(split.images[i].squeeze())
            canvas.paste(image.resize((cell_px, cell_px), Image.Resampling.NEAREST), (label_width + column * pitch, y))
    return canvas
