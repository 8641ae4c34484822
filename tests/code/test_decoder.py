"""classifier.data.decoder: pixels, digests, errors and single colours of images."""

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.config import PrepareParams
from classifier.data.decoder import MAX_CHUNK_IMAGES, ImageInfo, decode_images, have_single_color, make_chunks
from classifier.data.discovery import RawDataset
from classifier.images import preprocess
from support.commands import ROOT, run
from support.images import encode, gradient_image
from utils.parallel import Pool

PARAMS = PrepareParams(seed=77, split=0.25, image_size=(6, 8), grayscale=False)


def decode(root: Path, files: dict[str, bytes], params: PrepareParams = PARAMS) -> tuple[list[ImageInfo], list[bytes]]:
    """Write these files, decode them, and return what was found out and the pixels of all images, in reverse."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    dataset = RawDataset(root, [], list(files), [0] * len(files))
    with ThreadPoolExecutor(2) as executor, decode_images(Pool(executor, 2), dataset, root, params) as decoded:
        pixels = list(decoded.iter_bytes(list(range(len(files)))[::-1]))
    assert not list(root.glob("*.pixels"))
    return decoded.infos, pixels


@pytest.mark.parametrize("grayscale", [False, True])
def test_decode_images_returns_pixels_and_digests_in_order(tmp_path: Path, grayscale: bool) -> None:
    files = {f"a/{i}.png": encode(gradient_image().rotate(i), "PNG") for i in range(30)}
    infos, pixels = decode(tmp_path, files, PARAMS.model_copy(update={"grayscale": grayscale}))
    assert [info.digest for info in infos] == [hashlib.sha256(content).digest() for content in files.values()]
    assert not any(info.error or info.has_single_color for info in infos)
    expected = [preprocess(content, (6, 8), grayscale).tobytes() for content in files.values()]
    assert pixels == expected[::-1]


def test_decode_images_reports_unreadable_images_and_continues(tmp_path: Path) -> None:
    good = encode(gradient_image(), "PNG")
    (tmp_path / "missing.png").symlink_to("nothing")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    dataset = RawDataset(tmp_path, [], ["1.png", "missing.png", "endless.png", "text.png", "2.png"], [0] * 5)
    for name, content in (("1.png", good), ("2.png", good), ("text.png", b"text")):
        (tmp_path / name).write_bytes(content)
    with ThreadPoolExecutor(2) as executor, decode_images(Pool(executor, 2), dataset, tmp_path, PARAMS) as decoded:
        pixels = list(decoded.iter_bytes([0, 4, 1]))
    errors = [info.error for info in decoded.infos]
    assert errors[:3] == ["", "No such file or directory", "not a regular file"]
    assert errors[3].startswith("not a readable image") and errors[4] == ""
    assert pixels[0] == pixels[1] == preprocess(good, (6, 8), False).tobytes() and pixels[2] == bytes(6 * 8 * 3)


def test_decode_images_lets_decoders_print_nothing(tmp_path: Path) -> None:
    tiff = encode(gradient_image(), "TIFF", compression="tiff_lzw")
    samples_per_pixel = tiff.index(b"\x15\x01\x03\x00\x01\x00\x00\x00\x03\x00") + 8
    files = {
        "damaged.tif": tiff[:200] + bytes(1000) + tiff[1200:],  # libtiff prints
        "samples.tif": tiff[:samples_per_pixel] + b"\xff\xff" + tiff[samples_per_pixel + 2 :],  # Pillow logs
        "good.tif": tiff,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    code = (
        "import sys; sys.path.insert(0, 'src'); from classifier.data.decoder import *; out = Path(sys.argv[1], 'out');"
        "out.touch(); infos = decode_chunk(out.parent, out, Chunk(0, sys.argv[2:]), (8, 8), False, True);"
        "print([bool(info.error) for info in infos])"
    )
    result = run(ROOT, sys.executable, "-c", code, str(tmp_path), *files)
    assert (result.stdout, result.stderr) == ("[True, True, False]\n", "")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.zeros((6, 8, 3)), True),
        (np.full((6, 8, 1), 200), True),
        (np.broadcast_to([250, 0, 90], (6, 8, 3)), True),  # red, everywhere
        (np.arange(48).reshape(6, 8, 1) % 4, True),  # noise of a compressor
        (np.arange(48).reshape(6, 8, 1) % 5, False),
        (np.pad([[[9]]], ((0, 5), (0, 7), (0, 2))), False),  # one pixel in one channel
    ],
)
def test_have_single_color_ignores_noise_only(pixels: np.ndarray, expected: bool) -> None:
    gradient = np.broadcast_to(np.arange(8)[:, np.newaxis], pixels.shape)
    assert have_single_color(np.stack([gradient, pixels, gradient]).astype(np.uint8)).tolist() == [
        False,
        expected,
        False,
    ]


def test_decode_images_finds_a_dark_drawing_on_a_transparent_background(tmp_path: Path) -> None:
    drawing = Image.new("RGBA", (40, 40))
    drawing.paste((0, 0, 0, 255), (10, 10, 30, 30))
    files = {"drawing.png": encode(drawing, "PNG"), "photograph.png": encode(gradient_image(), "PNG")}
    infos, _ = decode(tmp_path, files)
    assert [info.has_single_color for info in infos] == [True, False]


@pytest.mark.parametrize("num_images", [1, 2, 3, 255, 319, 1287, 5000])
@pytest.mark.parametrize("num_workers", [1, 2, 5])
@pytest.mark.parametrize("image_bytes", [1, 32 * 32 * 3, 2048 * 2048 * 3])
def test_make_chunks_covers_all_images_in_balanced_chunks(num_images: int, num_workers: int, image_bytes: int) -> None:
    paths = [f"{i}" for i in range(num_images)]
    chunks = make_chunks(paths, image_bytes, num_workers)
    assert [path for chunk in chunks for path in chunk.paths] == paths
    assert [chunk.offset for chunk in chunks] == [int(chunk.paths[0]) * image_bytes for chunk in chunks]
    sizes = [len(chunk.paths) for chunk in chunks]
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= MAX_CHUNK_IMAGES
    if max(sizes) > 1 and num_images > 100:
        assert len(chunks) % num_workers == 0 and len(chunks) >= 8 * num_workers
