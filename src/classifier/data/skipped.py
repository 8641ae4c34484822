"""Files of a dataset that are not read: count them by extension, and say what to do."""

from collections import Counter
from pathlib import Path

from classifier.decoding import IMAGE_EXTENSIONS
from utils.cli import print_warning
from utils.files import printable

HIDDEN, NO_EXTENSION = "hidden", "no extension"
MAX_EXTENSIONS = 10
ADVICE = {
    extension: advice
    for advice, extensions in {
        "convert to JPEG": ".hif .dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .jxl .jxr .mpo .raw .srw .pef",
        "convert to PNG": ".svg .psd .xcf .ai .eps .pdf .ico .icns .tga .pcx .dds .exr .hdr .j2k .jpf .jpx .fits .dcm",
        "rename to .png": ".apng",
        "rename to .jpg": ".pjp .pjpeg",
        "rename to .bmp": ".dib",
        "extract the images": ".zip .tar .gz .tgz .7z .rar .mp4 .mov .avi .webm .parquet .tfrecord",
    }.items()
    for extension in extensions.split()
}
ADVICE[NO_EXTENSION] = "add an extension to images"


def is_image_name(name: str) -> bool:
    """Return whether a file is read: it is not hidden, and it has the extension of a supported image format."""
    return not name.startswith(".") and name.lower().endswith(tuple(IMAGE_EXTENSIONS))


def skipped_kind(name: str) -> str:
    """Return under which name a file that is not read is counted: its extension, "hidden" or "no extension"."""
    return HIDDEN if name.startswith(".") else Path(name).suffix.lower() or NO_EXTENSION


def describe_skipped(skipped: Counter[str]) -> str:
    """Return each kind of skipped file with its number and what to do, for example ".nef: 26 (convert to JPEG)".

    Args:
        skipped: the number of files of each kind; see `skipped_kind`.
    """
    kinds = sorted(skipped, key=lambda kind: (kind not in ADVICE, -skipped[kind], kind))
    parts = [
        f"{printable(kind)}: {skipped[kind]}" + (f" ({ADVICE[kind]})" if kind in ADVICE else "")
        for kind in kinds[:MAX_EXTENSIONS]
    ]
    if others := sum(skipped[kind] for kind in kinds[MAX_EXTENSIONS:]):
        parts.append(f"others: {others}")
    return ", ".join(parts)


def warn_about_skipped(folder: Path, skipped: Counter[str]) -> None:
    """Print how many files of a folder are not read; nothing if all of them are hidden."""
    if set(skipped) - {HIDDEN}:
        print_warning(f"{printable(folder)}: {skipped.total()} files are skipped: {describe_skipped(skipped)}")
