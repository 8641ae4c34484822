"""classifier.model.augmentation: random changes of training images."""

import hashlib

import numpy as np
import pytest

from classifier.config import AugmentParams
from classifier.model.augmentation import augment, change_brightness, flip, random_shift, rotate_and_zoom

ALL = AugmentParams(flip=True, rotate=30, zoom=0.3, brightness=0.3)


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def augment_batch(images: np.ndarray, limits: AugmentParams, seed: int = 7) -> np.ndarray:
    return augment(images, np.arange(len(images)), len(images), limits, np.random.default_rng(seed))


def ramp(height: int, width: int) -> np.ndarray:
    """Return an image that is brighter to the right and darker to the bottom, without rounding."""
    y, x = np.arange(height)[:, np.newaxis], np.arange(width)
    return (100 + 4 * x - 2 * y).astype(np.uint8)[np.newaxis, :, :, np.newaxis]


@pytest.mark.parametrize(("limit", "offsets"), [(1 / 16, range(-2, 3)), (0.1, range(-3, 4)), (0, [0])])
def test_random_shift_moves_by_at_most_its_limit_and_repeats_the_edge(limit: float, offsets: range) -> None:
    rows = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, np.newaxis], (32, 32))
    images = np.repeat(rows[np.newaxis, :, :, np.newaxis], 200, axis=0)
    shifted = random_shift(images, np.arange(200), 200, limit, np.random.default_rng(0))
    moved = shifted[:, 16, 0, 0].astype(int) - 16
    assert set(moved) == set(offsets)
    for image, offset in zip(shifted, moved, strict=True):
        assert np.array_equal(image[:, 5, 0], np.clip(np.arange(32) + offset, 0, 31))


def test_augment_by_default_only_shifts_by_a_sixteenth() -> None:
    images = random_images(9, 40, 24, 3)
    shifted = random_shift(images, np.arange(9), 9, 1 / 16, np.random.default_rng(7))
    assert np.array_equal(augment_batch(images, AugmentParams()), shifted)
    # The hash of what `random_shift` gave before it had a limit: the model of the same parameters stays the same.
    assert hashlib.sha256(shifted.tobytes()).hexdigest()[:16] == "baa4fb6691fadab4"


@pytest.mark.parametrize("limits", [AugmentParams(), ALL], ids=["shift", "all"])
def test_augment_part_of_a_batch_equals_part_of_the_augmented_batch(limits: AugmentParams) -> None:
    images = random_images(10, 16, 20, 3)
    part = augment(images[5:], np.arange(5, 10), 10, limits, np.random.default_rng(7))
    assert np.array_equal(part, augment_batch(images, limits)[5:])


@pytest.mark.parametrize("change", [{"flip": True}, {"rotate": 45}, {"zoom": 0.5}, {"brightness": 0.5}], ids=str)
@pytest.mark.parametrize("shape", [(64, 9, 12, 3), (64, 12, 9, 1)])
def test_augment_with_an_option_changes_images_and_keeps_shape_and_type(change: dict, shape: tuple[int, ...]) -> None:
    images = random_images(*shape)
    changed = augment_batch(images, AugmentParams(shift=0, **change))
    assert (changed.shape, changed.dtype) == (shape, np.uint8)
    is_changed = (changed != images).any(axis=(1, 2, 3)).mean()
    assert 0.3 < is_changed < 0.7 if "flip" in change else is_changed > 0.9
    assert not np.array_equal(changed, augment_batch(images, AugmentParams(shift=0, **change), seed=8))


def test_augment_with_limits_of_0_changes_nothing() -> None:
    images = random_images(5, 16, 16, 3)
    assert np.array_equal(augment_batch(images, AugmentParams(shift=0)), images)


def test_augment_with_extreme_limits_keeps_images_of_one_pixel() -> None:
    limits = AugmentParams(shift=0.99, flip=True, rotate=180, zoom=0.999)
    images = random_images(50, 1, 1, 3)
    assert np.array_equal(augment_batch(images, limits), images)
    assert augment_batch(random_images(50, 5, 1, 3), limits).shape == (50, 5, 1, 3)


def test_flip_mirrors_chosen_images_from_left_to_right() -> None:
    images = random_images(2, 3, 5, 3)
    flipped = flip(images, np.array([True, False]))
    assert np.array_equal(flipped[0], images[0, :, ::-1]) and np.array_equal(flipped[1], images[1])


@pytest.mark.parametrize("angle", [0, 90, 180, -90])
def test_rotate_by_right_angles_moves_pixels_counterclockwise(angle: int) -> None:
    images = random_images(1, 8, 8, 3)
    rotated = rotate_and_zoom(images, np.array([float(angle)]), np.array([1.0]))
    assert np.array_equal(rotated[0], np.rot90(images[0], angle // 90))


def test_rotate_by_180_degrees_turns_an_image_that_is_not_square() -> None:
    images = random_images(1, 5, 8, 1)
    assert np.array_equal(rotate_and_zoom(images, np.array([180.0]), np.array([1.0])), images[:, ::-1, ::-1])


def test_rotate_interpolates_between_pixels() -> None:
    image = ramp(21, 21)
    rotated = rotate_and_zoom(image, np.array([30.0]), np.array([1.0]))[0, :, :, 0].astype(float)
    x, y = np.arange(21) - 10, np.arange(21)[:, np.newaxis] - 10
    source_x = x * 0.866025 - y * 0.5
    source_y = x * 0.5 + y * 0.866025
    is_inside = (abs(source_x) <= 10) & (abs(source_y) <= 10)
    assert 300 < is_inside.sum() < 441
    assert abs(rotated - (120 + 4 * source_x - 2 * source_y))[is_inside].max() <= 0.5001


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_zoom_enlarges_about_the_centre_and_repeats_the_edge(factor: float) -> None:
    image = ramp(21, 21)
    zoomed = rotate_and_zoom(image, np.array([0.0]), np.array([factor]))[0, :, :, 0].astype(float)
    source = np.clip((np.arange(21) - 10) / factor, -10, 10)
    assert abs(zoomed - (120 + 4 * source - 2 * source[:, np.newaxis])).max() <= 0.5


def test_change_brightness_multiplies_and_clips() -> None:
    images = np.array([[0, 100, 200], [0, 100, 255]], np.uint8).reshape(2, 1, 3, 1)
    changed = change_brightness(images, np.array([1.5, 0.25]))
    assert changed.dtype == np.uint8 and changed.reshape(2, 3).tolist() == [[0, 150, 255], [0, 25, 64]]
