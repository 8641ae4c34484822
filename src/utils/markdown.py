"""Markdown: tables, and text from untrusted sources."""

import json
from collections.abc import Sequence

from utils.files import printable

SPECIAL_CHARACTERS = r"\`*_{}[]<>()#|~!&$"
MERMAID_CONFIG = """\
---
config: {xyChart: {height: 350}, themeVariables: {xyChart: {plotColorPalette: '#0969da, #f0883e'}}}
---"""


def table(header: Sequence[object], rows: Sequence[Sequence[object]], align: str = "") -> str:
    """Return a Markdown table.

    Args:
        header: the column names.
        rows: the cells of each row; text must be escaped already.
        align: "right" aligns all columns but the first to the right.
    """
    rule = ["---"] + ["---:" if align == "right" else "---"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (header, rule, *rows))


def escape(text: object) -> str:
    """Return text that Markdown shows unchanged, also in a table."""
    return "".join(f"\\{c}" if c in SPECIAL_CHARACTERS else c for c in " ".join(str(text).split()))


def code_span(value: object, max_length: int = 40) -> str:
    """Return any value as a code span that fits a table and contains no Markdown, HTML, mention or link."""
    text = printable(str(value)).replace("|", "¦").replace("`", "'") or "–"
    return f"`{text if len(text) <= max_length else text[: max_length - 1] + '…'}`"


def details(title: str, content: str) -> str:
    """Return a section that is collapsed until the reader opens it."""
    return f"\n\n<details><summary>{title}</summary>{content}\n\n</details>"


def line_chart(
    title: str, axis: str, labels: Sequence[str], lines: Sequence[Sequence[float]], from_zero: bool = False
) -> str:
    """Return a chart that GitHub draws (Mermaid), with up to two lines: a blue and an orange one.

    Args:
        title: the title, without quotation marks.
        axis: the title of the horizontal axis, one word.
        labels: its labels; characters that end a label or the chart are replaced.
        lines: the values of each line; empty ones are left out.
        from_zero: begin the vertical axis at 0, not at the lowest value.
    """
    shown = [printable(label).translate({ord("`"): "'", ord('"'): "'", ord("\\"): "/"}) for label in labels]
    parts = [f'```mermaid\n{MERMAID_CONFIG}\nxychart-beta\n  title "{title}"']
    parts.append(f"  x-axis {axis} {json.dumps(shown, ensure_ascii=False)}")
    if from_zero:
        parts.append(f"  y-axis 0 --> {max(map(max, lines)):.4f}")
    parts += [f"  line [{', '.join(f'{value:.4f}' for value in values)}]" for values in lines if values]
    return "\n".join([*parts, "```"])
