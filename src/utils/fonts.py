"""Names in figures, in DejaVu Sans from Matplotlib. Fonts of the machine are not used, because they differ."""

from pathlib import Path

from utils.cli import print_warning
from utils.files import printable, shorten_list


def font_path() -> Path:
    """Return the file of the font."""
    import matplotlib as mpl  # here, because it takes half a second, and few names need it

    return Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def drawable_names(names: list[str]) -> list[str]:
    """Return the names as the font can draw them: "火星 (Mars)" with index 3 becomes "#3 (Mars)"."""
    if all(map(str.isascii, names)):
        return names
    from matplotlib.ft2font import FT2Font

    characters = set(map(chr, FT2Font(font_path()).get_charmap()))
    drawn = []
    for i, name in enumerate(names):
        known = "".join(character for character in name if character in characters)
        drawn.append(name if known == name else f"#{i} {known.strip()}".strip())
    return drawn


def warn_about_substitutes(names: list[str], path: Path) -> None:
    """Print which names the figures cannot show, and which file has them; nothing if there are none."""
    drawn = enumerate(zip(names, drawable_names(names), strict=True))
    if replaced := [f"#{i} is {name}" for i, (name, text) in drawn if name != text]:
        headline = f"the font of the figures lacks characters of some class names; {printable(path)} has them"
        print_warning(f"{headline}: {shorten_list(replaced)}")
