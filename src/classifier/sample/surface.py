"""The surface of a body: colours and craters."""

from random import Random

import numpy as np

from classifier.sample.colors import blend, ramp_color
from classifier.sample.noise import sample_craters, sample_noise
from classifier.sample.scene import Scene
from classifier.sample.specs import BodySpec, Spot

CLOUD_COLOR = "ffffff"
ICE_COLOR = "f6f8fa"


def surface_color(spec: BodySpec, points: np.ndarray, rng: Random) -> np.ndarray:
    """Return the colours of a body without light.

    Args:
        spec: the appearance of the body.
        points: float32 (3, n) on the unit sphere: towards the front, the east and the north pole.
        rng: the source of the noise.

    Returns:
        float32 (3, n) in 0..1.
    """
    front, east, north = points
    is_front = front > 0
    coarse = sample_noise(points, spec.coarse_scale, rng)
    fine = coarse
    if spec.fine_weight:
        fine = sample_noise(points + (coarse - 0.5) * spec.swirl, spec.fine_scale, rng)
    position = 0.5 + spec.latitude_weight / 2 * north
    position = position + spec.coarse_weight * (coarse - 0.5) + spec.fine_weight * (fine - 0.5)
    color = ramp_color(spec.color_ramp, position)
    if spec.spot:
        color = blend(color, spec.spot.color, _spot_mask(spec.spot, east, north) * is_front)
    if spec.heart_color:
        x, y = east * 1.5 + (fine - 0.5) * 0.2, north * 1.5 + 0.1 + (coarse - 0.5) * 0.2  # noise makes a ragged edge
        color = blend(color, spec.heart_color, _heart_mask(x, y) * is_front)
    if spec.clouds:
        density = sample_noise(points, spec.clouds.scale, rng)
        color = blend(color, CLOUD_COLOR, (density + spec.clouds.coverage - 1) * 5)
    if spec.ice_caps:
        north_edge, south_edge = spec.ice_caps
        latitude = north + (coarse - 0.5) * 0.12
        color = blend(color, ICE_COLOR, np.maximum(latitude - north_edge, south_edge - latitude) * 25)
    return color


def _spot_mask(spot: Spot, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Return the weights (n,) of an ellipse, above 0 inside."""
    x, y = east / spot.half_width, (north - spot.latitude) / spot.half_height
    return (1 - x * x - y * y) * 3


def _heart_mask(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights (n,) of a heart, above 0 inside: the sextic of https://mathworld.wolfram.com/HeartCurve.html."""
    circle = x * x + y * y - 1
    mask: np.ndarray = (x * x * y * y * y - circle * circle * circle) * 12
    return mask


def apply_craters(illumination: np.ndarray, color: np.ndarray, normals: np.ndarray, scene: Scene, rng: Random) -> None:
    """Add craters to a sphere, in place.

    A stereographic projection maps the plane of the craters to the sphere, because it maps circles to circles:
    https://en.wikipedia.org/wiki/Stereographic_projection

    Args:
        illumination: float32 (n,), to which the slopes are applied.
        color: float32 (3, n), to which the brightness is applied.
        normals: float32 (3, n), the normals of the sphere.
        scene: the direction of the light, and the depth of the craters.
        rng: the source of their position.
    """
    light, depth = scene.light, scene.spec.crater_depth
    x, y, z = normals
    scale = 1 / (1 + z)
    slope_x, slope_y, brightness = sample_craters(normals[:2] * scale * 180, rng)
    toward_light = (x * light[0] + y * light[1]) * scale + light[2]
    illumination -= (slope_x * (light[0] - x * toward_light) + slope_y * (light[1] - y * toward_light)) * z * depth
    color *= 1 + brightness * (4 * depth)
