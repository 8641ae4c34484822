"""classifier.data.duplicates: near-duplicates, found by perceptual hashes."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from classifier.data.duplicates import MAX_DISTANCE, NUM_BANDS, NUM_THUMBNAIL_BYTES, NearDuplicates, make_thumbnails
from classifier.images import preprocess
from support.images import encode

RNG = np.random.default_rng(0)


def draw_scene(seed: int) -> Image.Image:
    """Return a colourful image of 160 x 120 pixels with smooth areas, like a photograph; each seed gives another."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(20, 200, (6, 8, 3), np.uint8))
    return coarse.resize((160, 120), Image.Resampling.BICUBIC)


def thumbnails_of(*files: bytes, size: int = 32, grayscale: bool = False) -> np.ndarray:
    return make_thumbnails(np.concatenate([preprocess(file, (size, size), grayscale) for file in files]))


def find_groups(thumbnails: np.ndarray, max_size: int = 10**9) -> list[list[int]]:
    return list(NearDuplicates(thumbnails).find_groups(lambda group: len(group) > max_size))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return encode(image, "JPEG", quality=quality)


COPIES = {
    "lower quality": lambda image: jpeg(image, 30),
    "half the size": lambda image: jpeg(image.resize((80, 60), Image.Resampling.LANCZOS)),
    "twice the size": lambda image: jpeg(image.resize((320, 240), Image.Resampling.LANCZOS)),
    "another format": lambda image: encode(image, "WEBP", quality=60),
    "brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.1)),
    "darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.9)),
    "blurred": lambda image: jpeg(image.filter(ImageFilter.GaussianBlur(1))),
    "turned by 1 degree": lambda image: jpeg(image.rotate(1, Image.Resampling.BICUBIC, fillcolor=(90, 90, 90))),
}
OTHERS = {
    "mirrored": lambda image: jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "negative": lambda image: jpeg(image.point(lambda value: 255 - value)),
    "other colours": lambda image: jpeg(Image.merge("RGB", image.split()[::-1])),
    "half as bright": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.5)),
    "part": lambda image: jpeg(image.crop((20, 20, 160, 120))),
}


@pytest.mark.parametrize("size", [16, 32, 100, 224])
@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize("case", COPIES)
def test_copy_of_an_image_is_a_near_duplicate(case: str, grayscale: bool, size: int) -> None:
    files = [file for seed in range(10) for file in (jpeg(draw_scene(seed)), COPIES[case](draw_scene(seed)))]
    groups = find_groups(thumbnails_of(*files, size=size, grayscale=grayscale))
    num_found = groups.count([0, 1]) + sum(groups.count([i, i + 1]) for i in range(2, 20, 2))
    assert max(map(len, groups)) == 2 and num_found >= 9


@pytest.mark.parametrize("case", OTHERS)
def test_changed_image_is_no_near_duplicate(case: str) -> None:
    files = [file for seed in range(10) for file in (jpeg(draw_scene(seed)), OTHERS[case](draw_scene(seed)))]
    assert find_groups(thumbnails_of(*files)) == []


def test_different_images_are_no_near_duplicates() -> None:
    files = [jpeg(draw_scene(seed)) for seed in range(300)]
    assert find_groups(thumbnails_of(*files)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 1), (9, 8, 3), (48, 200, 3), (500, 20, 1)])
def test_make_thumbnails_accepts_any_shape(shape: tuple[int, int, int]) -> None:
    thumbnails = make_thumbnails(np.full((2, *shape), 77, np.uint8))
    assert thumbnails.shape == (2, NUM_THUMBNAIL_BYTES) and (thumbnails == 77).all()


def test_make_thumbnails_are_means_of_rectangles() -> None:
    images = RNG.integers(0, 256, (1, 36, 36, 3), np.uint8)
    gray, color = np.split(make_thumbnails(images)[0].astype(int), [81])
    cells = images[0].reshape(9, 4, 9, 4, 3).mean(axis=(1, 3)) @ [0.299, 0.587, 0.114]
    assert np.abs(gray.reshape(9, 9) - cells).max() <= 2  # both are rounded down
    assert np.abs(color[:3] - images[0, :4, :4].reshape(-1, 3).mean(axis=0)).max() <= 1


def random_thumbnails(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, NUM_THUMBNAIL_BYTES), np.uint8)


def with_flipped_bits(thumbnails: np.ndarray, count: int) -> np.ndarray:
    """Change some pixels of the grayscale thumbnails so that `count` bits of each hash differ; colours stay."""
    changed = thumbnails.copy()
    for original, row in zip(thumbnails, changed, strict=True):
        reference = NearDuplicates(original[np.newaxis]).hashes[0]
        for pixel in RNG.permutation(81):
            before = int(np.bitwise_count(NearDuplicates(row[np.newaxis]).hashes[0] ^ reference).sum())
            if before == count:
                break
            saved = row[pixel]
            row[pixel] = 255 - saved
            after = int(np.bitwise_count(NearDuplicates(row[np.newaxis]).hashes[0] ^ reference).sum())
            if not before < after <= count:
                row[pixel] = saved
        else:
            row[:] = original
    return changed


def test_hashes_within_the_distance_are_always_found_and_others_never() -> None:
    assert NUM_BANDS == MAX_DISTANCE + 1  # the pigeonhole principle
    thumbnails = random_thumbnails(60)
    for count in range(1, MAX_DISTANCE + 4):
        both = np.concatenate([thumbnails, with_flipped_bits(thumbnails, count)])
        hashes = NearDuplicates(both).hashes
        distances = np.bitwise_count(hashes[:60] ^ hashes[60:]).sum(axis=1)
        groups = {tuple(group) for group in find_groups(both)}
        for i in np.flatnonzero(distances):
            assert ((i, i + 60) in groups) == (distances[i] <= MAX_DISTANCE)
        assert (distances == count).sum() > 30


@pytest.mark.parametrize(("change", "is_similar"), [(0, True), (2, True), (3, True), (4, False), (9, False)])
def test_colours_may_differ_by_three_on_average(change: int, is_similar: bool) -> None:
    thumbnails = np.full((2, NUM_THUMBNAIL_BYTES), 100, np.uint8)
    color = thumbnails[1, 81:].reshape(8, 8, 3)
    color[:, :4, 0] += change  # in a half of the image, so that the brightness stays the same
    color[:, 4:, 0] -= change
    color[:, :4, 1:] -= change
    color[:, 4:, 1:] += change
    assert find_groups(thumbnails) == ([[0, 1]] if is_similar else [])


def test_groups_are_connected_by_pairs() -> None:
    # Each image differs little from the next, and the first very much from the last.
    first, last = (np.asarray(draw_scene(seed), float) for seed in (1, 2))
    images = [Image.fromarray((first + (last - first) * i / 40).astype(np.uint8)) for i in range(41)]
    assert find_groups(thumbnails_of(*map(jpeg, images))) == [list(range(41))]
    assert find_groups(thumbnails_of(jpeg(images[0]), jpeg(images[-1]))) == []


def test_groups_that_are_too_large_are_divided_at_a_smaller_distance() -> None:
    # Four pairs of equal thumbnails; the hashes of different pairs differ in 5 bits from the first.
    first = random_thumbnails(1)
    images = np.concatenate([first, *(with_flipped_bits(first, 5) for _ in range(3))]).repeat(2, axis=0)
    assert find_groups(images) == [list(range(8))]
    assert find_groups(images, max_size=7) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert find_groups(images, max_size=1) == []


def test_groups_do_not_depend_on_the_order_of_the_images() -> None:
    files = [jpeg(draw_scene(seed), quality) for seed in range(30) for quality in (90, 60, 30)]
    thumbnails = thumbnails_of(*files)
    expected = {frozenset(group) for group in find_groups(thumbnails)}
    assert len(expected) == 30
    for _ in range(3):
        order = RNG.permutation(90)
        groups = find_groups(thumbnails[order])
        assert {frozenset(order[group].tolist()) for group in groups} == expected


def test_hundred_thousand_equal_thumbnails_need_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    num_compared = 0
    have_similar_colors = NearDuplicates._have_similar_colors

    def count(self: NearDuplicates, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        nonlocal num_compared
        num_compared += len(first)
        return have_similar_colors(self, first, second)

    monkeypatch.setattr(NearDuplicates, "_have_similar_colors", count)
    assert len(find_groups(np.repeat(random_thumbnails(1), 100_000, axis=0))) == 1
    assert num_compared < 200_000


def test_groups_of_no_images_are_none() -> None:
    assert not any(find_groups(random_thumbnails(0)))
