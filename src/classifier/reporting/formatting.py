"""Formatting of the report: numbers, marks, and tables that stay readable and within GitHub's limit."""

from collections.abc import Sequence

from utils.markdown import details, table

MAX_BYTES = 64_000  # GitHub accepts 65,536 characters, and the workflow adds a line
VISIBLE_ROWS, COLLAPSED_ROWS = 20, 60
MANY_IMAGES = 1000  # from here on, 0.01 % is not more precise than the data
MIN_P_VALUE = 0.001

BETTER, WORSE = "🟢 better", "🔴 **worse**"
NEW_CLASS, REMOVED_CLASS = "**new class**", "**class removed**"


def percent(value: float, num_images: int = 0) -> str:
    """Return a share in percent, rounded to what this number of images can show."""
    return f"{value:.{2 if num_images >= MANY_IMAGES else 1}%}".replace("%", "\u00a0%")


def format_p_value(value: float) -> str:
    """Return a p-value with three digits, for example "p = 0.031"."""
    return f"p = {value:.3f}" if value >= MIN_P_VALUE else f"p < {MIN_P_VALUE}"


def better_or_worse(is_better: bool) -> str:
    """Return the mark of a change."""
    return BETTER if is_better else WORSE


def collapsible_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a table. Rows after VISIBLE_ROWS are collapsed; rows after another COLLAPSED_ROWS are dropped."""
    text = f"\n\n{table(header, rows[:VISIBLE_ROWS])}"
    hidden = rows[VISIBLE_ROWS:]
    if not hidden:
        return text
    dropped = len(hidden) - COLLAPSED_ROWS
    note = f"\n\n… and {dropped:,} more." if dropped > 0 else ""
    return text + details(f"{len(hidden):,} more", f"\n\n{table(header, hidden[:COLLAPSED_ROWS])}{note}")


def truncate_to_limit(sections: Sequence[str]) -> str:
    """Return all sections as one text. While it exceeds MAX_BYTES, a note replaces the longest section."""
    kept = [section.strip() for section in sections]
    while len("\n\n".join(kept).encode()) > MAX_BYTES:
        longest = kept.index(max(kept, key=len))
        kept[longest] = "*This section is left out, because the report would be too long for GitHub.*"
    return "\n\n".join(kept)
