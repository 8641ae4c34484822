"""The random arrangement of an image: where the body is, how it is turned, and how it is lit."""

from dataclasses import dataclass
from math import sqrt
from random import Random

import numpy as np

from classifier.sample.specs import BodySpec

Vector = tuple[float, float, float]


def normalize(x: float, y: float, z: float) -> Vector:
    """Return a vector of the same direction and of length 1."""
    length = sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def cross(a: Vector, b: Vector) -> Vector:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def dot(points: np.ndarray, axis: Vector) -> np.ndarray:
    """Return the dot products (...) of points (3, ...) with an axis, added in a fixed order."""
    product: np.ndarray = points[0] * axis[0] + points[1] * axis[1] + points[2] * axis[2]
    return product


@dataclass(frozen=True)
class Scene:
    """A body: where it is in the image, how it is turned, and how it is lit and exposed.

    Vectors have length 1. Their x points right, y up, and z towards the viewer.
    """

    spec: BodySpec
    radius: float  # in pixels
    center_x: float  # in pixels from the left
    center_y: float  # in pixels from the top
    exposure: float
    color_temperature: float  # above 0 is warm
    noise_level: float  # of the sensor
    light: Vector  # towards the Sun
    front: Vector  # the direction of the spot or the heart; mostly towards the viewer
    east: Vector
    pole: Vector


def sample_scene(spec: BodySpec, size_px: int, rng: Random) -> Scene:
    """Return a random scene for an image of size_px x size_px pixels."""
    # The order of the calls of `rng` is part of the dataset.
    radius, center_x, center_y = (
        rng.uniform(*bounds) * size_px for bounds in (spec.radius_range, (0.46, 0.54), (0.46, 0.54))
    )
    exposure, color_temperature, noise_level = rng.uniform(0.85, 1.1), rng.uniform(-0.03, 0.03), rng.uniform(0.01, 0.03)
    light = normalize(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-0.1, 3))
    tilt = rng.uniform(-0.85, 0.85)
    tilt += 0.15 if tilt > 0 else -0.15  # never 0: rings that are seen edge-on would be a line
    pole = normalize(rng.uniform(-spec.max_tilt, spec.max_tilt), 1, tilt * spec.max_tilt)
    east = normalize(*cross(pole, (rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 2))))
    return Scene(
        spec=spec,
        radius=radius,
        center_x=center_x,
        center_y=center_y,
        exposure=exposure,
        color_temperature=color_temperature,
        noise_level=noise_level,
        light=light,
        front=cross(east, pole),
        east=east,
        pole=pole,
    )
