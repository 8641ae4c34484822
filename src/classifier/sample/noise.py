"""Random textures: a volume of fractal noise and a map of craters, and interpolation in both.

Both tables repeat in all directions. Their last index repeats the first, so that interpolation needs no wrapping.
"""

from functools import cache
from random import Random

import numpy as np

NOISE_SIZE = 64  # cells per axis; a power of 2. The table has 1 MB, so that it stays in the processor's cache.
CRATER_MAP_SIZE = 512  # cells per axis; a power of 2
NUM_CRATERS = 700


def build_tables() -> None:
    """Build the cached tables. Worker processes that are forked afterwards share them."""
    noise_volume()
    crater_map()


@cache
def noise_volume() -> np.ndarray:
    """Return fractal noise, distributed uniformly over 0..1, as flattened float32 ((NOISE_SIZE + 1) ** 3,)."""
    rng, total, amplitude = Random("lattice"), np.zeros((NOISE_SIZE,) * 3, np.float32), 1.0
    for octave in (4, 8, 16, 32, 64):
        grid = np.frombuffer(rng.randbytes(octave**3), np.uint8).astype(np.float32).reshape((octave,) * 3)
        total += _upsample(grid) * np.float32(amplitude)
        amplitude *= 0.6
    # Replace each value by its rank: sums of octaves cluster around their mean.
    uniform = np.empty(NOISE_SIZE**3, np.float32)
    ranks = np.arange(NOISE_SIZE**3, dtype=np.float32)
    uniform[total.ravel().argsort(kind="stable")] = ranks / np.float32(NOISE_SIZE**3)
    return np.pad(uniform.reshape(total.shape), (0, 1), mode="wrap").ravel()


def _upsample(grid: np.ndarray) -> np.ndarray:
    """Return a periodic grid (k, k, k), smoothly interpolated to NOISE_SIZE cells per axis."""
    octave = len(grid)
    position = np.arange(NOISE_SIZE, dtype=np.float32) * np.float32(octave / NOISE_SIZE)
    cell = position.astype(np.intp)
    fraction = position - cell.astype(np.float32)
    smoothstep = fraction * fraction * (3 - 2 * fraction)
    for axis in range(3):
        weight = smoothstep.reshape([-1 if axis == other else 1 for other in range(3)])
        low, high = grid.take(cell, axis), grid.take((cell + 1) % octave, axis)
        grid = low + (high - low) * weight
    return grid


@cache
def crater_map() -> np.ndarray:
    """Return craters on a plane: slope in x, slope in y and brightness.

    Returns:
        Flattened float32 (3 * (CRATER_MAP_SIZE + 1) ** 2,): three planes.
    """
    size, rng = CRATER_MAP_SIZE, Random("craters")
    height, brightness = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
    for number in range(NUM_CRATERS):
        radius = 3 / (1 - 0.88 * rng.random())  # in cells: many of 3, few of 25
        offset = np.arange(-int(radius * 3), int(radius * 3) + 1)
        window = np.ix_((offset + rng.getrandbits(9)) % size, (offset + rng.getrandbits(9)) % size)
        squared_distance = (offset * offset + (offset * offset)[:, None]).astype(np.float32)
        squared_distance *= np.float32(1 / (radius * radius))  # in radii of the crater
        rim = np.maximum(0.4 - 0.2 * squared_distance, 0)
        profile = np.maximum(np.minimum(1.5 * squared_distance - 1, rim), -0.5)
        is_fresh = number % 10 == 0
        rays = np.maximum(1 - squared_distance / 8, 0) * 0.5 if is_fresh else 0
        height[window] += profile * radius
        brightness[window] += profile * 0.25 + rays
    slopes = [(np.roll(height, -1, axis) - np.roll(height, 1, axis)) / 2 for axis in (1, 0)]
    planes = (*slopes, np.minimum(brightness, 0.6))
    return np.concatenate([np.pad(plane, (0, 1), mode="wrap").ravel() for plane in planes])


def interpolate(table: np.ndarray, index: np.ndarray, *axes: tuple[int, np.ndarray]) -> np.ndarray:
    """Interpolate linearly in a flattened table.

    Args:
        table: the values.
        index: integers (...), the lower corner of each cell in the table.
        axes: for each axis its stride in the table, and the position in the cell as float32 (...) in 0..1.

    Returns:
        The interpolated values (...).
    """
    if not axes:
        return table.take(index)
    (stride, fraction), *others = axes
    low = interpolate(table, index, *others)
    values: np.ndarray = low + (interpolate(table[stride:], index, *others) - low) * fraction
    return values


def sample_noise(points: np.ndarray, scale: tuple[int, int], rng: Random) -> np.ndarray:
    """Return noise at points on a sphere, from a random position in the noise volume.

    Args:
        points: float32 (3, n) on the unit sphere; the pole is along z.
        scale: noise cells per radius, along the equator and along the axis.
        rng: the source of the position.

    Returns:
        float32 (n,) in 0..1.
    """
    origin = [rng.uniform(2 * NOISE_SIZE, 3 * NOISE_SIZE) for _ in range(3)]
    position = points * np.array([[scale[0]], [scale[0]], [scale[1]]], np.float32)
    position += np.array(origin, np.float32)[:, None]
    corner = np.floor(position)
    x, y, z = position - corner
    i, j, k = corner.astype(np.int32) & (NOISE_SIZE - 1)
    side = NOISE_SIZE + 1
    index = ((i * side + j) * side + k).astype(np.intp)
    return interpolate(noise_volume(), index, (side * side, x), (side, y), (1, z))


def sample_craters(points: np.ndarray, rng: Random) -> np.ndarray:
    """Return the craters at points on a plane, from a random position in the crater map.

    Args:
        points: float32 (2, n), in cells of the map.
        rng: the source of the position.

    Returns:
        float32 (3, n): slope in x, slope in y, brightness.
    """
    origin = [rng.uniform(CRATER_MAP_SIZE, 2 * CRATER_MAP_SIZE) for _ in range(2)]
    position = points + np.array(origin, np.float32)[:, None]
    corner = np.floor(position)
    x, y = position - corner
    i, j = corner.astype(np.int32) & (CRATER_MAP_SIZE - 1)
    side = CRATER_MAP_SIZE + 1
    index = (j * side + i).astype(np.intp) + np.arange(3)[:, None] * (side * side)
    return interpolate(crater_map(), index, (side, y), (1, x))
