"""Augmentation: random changes of training images, different in each epoch.

Keras's augmentation layers do not serve here: these functions give the same images on every processor and on any number
of processes. All operations are exact or elementwise, and gaps are filled with the pixels of the edge.
"""

import math

import numpy as np

from classifier.config import AugmentParams


def augment(
    images: np.ndarray, positions: np.ndarray, batch_size: int, params: AugmentParams, rng: np.random.Generator
) -> np.ndarray:
    """Shift, flip, rotate, zoom and brighten each image at random.

    Random numbers are drawn for the whole batch, so that many processes augment its images as one does.

    Args:
        images: uint8 of shape (N, height, width, channels).
        positions: the N positions of these images in the batch.
        batch_size: the number of images in the batch.
        params: how much an image may change; by default, it is only shifted.
        rng: the random number generator of the batch.
    """

    def draw(limit: float) -> np.ndarray:
        return rng.uniform(-limit, limit, batch_size)[positions]

    images = random_shift(images, positions, batch_size, params.shift, rng)
    if params.flip:
        images = flip(images, draw(1) < 0)
    if params.rotate or params.zoom:
        images = rotate_and_zoom(images, draw(params.rotate), 1 + draw(params.zoom))
    return change_brightness(images, 1 + draw(params.brightness)) if params.brightness else images


def random_shift(
    images: np.ndarray, positions: np.ndarray, batch_size: int, limit: float, rng: np.random.Generator
) -> np.ndarray:
    """Shift each image by whole pixels, at most by a share of its height and width.

    Args:
        images: shape (N, height, width, channels).
        positions: see `augment`.
        batch_size: see `augment`.
        limit: the share, from 0 to below 1.
        rng: see `augment`.
    """
    height, width = images.shape[1:3]
    max_y, max_x = int(height * limit), int(width * limit)
    padded = np.pad(images, ((0, 0), (max_y, max_y), (max_x, max_x), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    y = rng.integers(2 * max_y + 1, size=batch_size)[positions]
    x = rng.integers(2 * max_x + 1, size=batch_size)[positions]
    return np.moveaxis(windows[np.arange(len(images)), y, x], 1, 3)


def flip(images: np.ndarray, is_flipped: np.ndarray) -> np.ndarray:
    """Flip the images where `is_flipped`, bool of shape (N,), from left to right."""
    return np.where(is_flipped[:, np.newaxis, np.newaxis, np.newaxis], images[:, :, ::-1], images)


def rotate_and_zoom(images: np.ndarray, degrees: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Rotate each image counterclockwise about its centre, and enlarge it, with bilinear interpolation.

    Args:
        images: uint8 of shape (N, height, width, channels).
        degrees: the angles, float64 of shape (N,).
        factors: the magnifications, float64 of shape (N,); above 1 the image is enlarged, below 1 reduced.
    """
    height, width, channels = images.shape[1:]
    bottom, right = height - 1, width - 1
    y, x = np.arange(height)[:, np.newaxis] - bottom / 2, np.arange(width) - right / 2  # from the centre
    results = np.empty_like(images)
    # One image at a time, because the arrays of a whole batch would not fit into the cache.
    for image, result, angle, factor in zip(images, results, degrees.tolist(), factors.tolist(), strict=True):
        # Rounded, because the last digits of sine and cosine differ between processors.
        cos, sin = (round(function(math.radians(angle)), 6) / factor for function in (math.cos, math.sin))
        source_y = np.clip(cos * y + sin * x + bottom / 2, 0, bottom)
        source_x = np.clip(cos * x - sin * y + right / 2, 0, right)
        top, left = source_y.astype(np.intp), source_x.astype(np.intp)
        share_y, share_x = (source_y - top)[:, :, np.newaxis], (source_x - left)[:, :, np.newaxis]
        pixels = image.reshape(-1, channels).astype(np.float64)
        upper_left = top * width + left
        lower_left = upper_left + np.where(top < bottom, width, 0)
        upper, lower = (
            pixels.take(start, axis=0) * (1 - share_x) + pixels.take(start + (left < right), axis=0) * share_x
            for start in (upper_left, lower_left)
        )
        result[:] = upper * (1 - share_y) + lower * share_y + 0.5
    return results


def change_brightness(images: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Multiply the pixels of each image, uint8, by its factor, float64 of shape (N,)."""
    tables = np.minimum(np.arange(256) * factors[:, np.newaxis] + 0.5, 255).astype(np.uint8)  # of all pixel values
    return tables[np.arange(len(images))[:, np.newaxis, np.newaxis, np.newaxis], images]
