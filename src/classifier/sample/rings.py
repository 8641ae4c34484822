"""The rings of Saturn."""

import numpy as np

from classifier.sample.colors import parse_color, ramp_color
from classifier.sample.scene import Scene, dot
from classifier.sample.specs import RING_COLOR, RING_INNER_RADIUS, RING_OPACITY, RING_WIDTH


def ring_shadow(normals: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the share (n,) of the light that passes the rings and reaches the sphere at its normals (3, n)."""
    pole, light = scene.pole, scene.light
    slant = pole[0] * light[0] + pole[1] * light[1] + pole[2] * light[2]
    distance = dot(normals, pole) * (-1 / (slant or 1))  # to the plane of the rings, towards the light
    x, y, z = (normals[axis] + distance * light[axis] for axis in range(3))
    beyond_inner_edge = np.where(distance > 0, np.sqrt(x * x + y * y + z * z) - RING_INNER_RADIUS, 0)
    transmission: np.ndarray = 1 - ramp_color(RING_OPACITY, beyond_inner_edge / RING_WIDTH)[0] * 0.8
    return transmission


def draw_rings(frame: np.ndarray, coverage: np.ndarray, x: np.ndarray, y: np.ndarray, scene: Scene) -> None:
    """Draw the rings around the body, in place.

    Args:
        frame: float32 (3, height, width), the image.
        coverage: float32 (height, width) in 0..1, the share of each pixel that the body covers.
        x: float32 (1, width), radii from the centre of the body.
        y: float32 (height, 1), radii from the centre of the body.
        scene: the direction of the pole and of the light.
    """
    pole, light = scene.pole, scene.light
    z = (x * pole[0] + y * pole[1]) * (-1 / pole[2])
    squared_radius = x * x + y * y + z * z
    toward_light = x * light[0] + y * light[1] + z * light[2]
    in_shadow = (toward_light < 0) & (squared_radius - toward_light * toward_light < 1)
    opacity = ramp_color(RING_OPACITY, (np.sqrt(squared_radius) - RING_INNER_RADIUS) / RING_WIDTH)[0]
    opacity = opacity * np.where(z > 0, 1, 1 - coverage)  # the body hides the part behind it
    color = parse_color(RING_COLOR)[:, None, None] * np.where(in_shadow, np.float32(0.05), np.float32(1))
    frame += (color - frame) * opacity
