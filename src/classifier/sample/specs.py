"""Data: what each class of the sample dataset looks like."""

from dataclasses import dataclass
from typing import NamedTuple


class Spot(NamedTuple):
    """An elliptic storm."""

    latitude: float
    half_width: float
    half_height: float
    color: str


class Clouds(NamedTuple):
    """White clouds."""

    coverage: float  # share of the surface
    scale: tuple[int, int]  # see BodySpec.coarse_scale


@dataclass(frozen=True)
class BodySpec:
    """The appearance of a class.

    Lengths are in radii of the body. Latitudes are given as their sine, scales in noise cells per radius. Colours are
    six hexadecimal digits. A colour ramp maps percentages to colours; it is indexed by a mix of latitude, coarse noise
    and fine noise, in which the weights below say how much each counts.
    """

    color_ramp: dict[int, str]  # where noise alone is the index, a percentage is a share of the surface
    latitude_weight: float = 0.0  # 1 gives bands: the ramp then runs from the south pole to the north pole
    coarse_weight: float = 1.0  # continents, or the wavy edges of bands
    coarse_scale: tuple[int, int] = (14, 14)  # along the equator, along the axis
    fine_weight: float = 0.3
    fine_scale: tuple[int, int] = (45, 45)
    swirl: float = 0.0  # how far the coarse noise displaces the fine noise
    clouds: Clouds | None = None
    ice_caps: tuple[float, float] | None = None  # latitudes where the ice begins: north, south
    spot: Spot | None = None
    heart_color: str = ""  # no heart if empty
    crater_depth: float = 0.0
    has_rings: bool = False
    limb_darkening: float = 0.05  # strong for gas, weak for dust
    haze_color: str = ""  # of the atmosphere along the edge; no haze if empty
    max_tilt: float = 0.7  # of the pole, as the ratio of its horizontal component to its vertical one
    radius_range: tuple[float, float] = (0.32, 0.47)  # relative to the width of the image


# fmt: off
BODY_SPECS = {
    "Earth": BodySpec(
        {0: "04123c", 42: "0a2c70", 56: "14529a", 59: "2f6a9c", 60: "3f6b2f", 72: "4f6f35", 82: "a98d55",
         100: "7d6237"},
        coarse_scale=(16, 16), clouds=Clouds(0.34, (18, 40)), ice_caps=(0.9, -0.86),
        limb_darkening=0.2, haze_color="6fa8ff",
    ),
    "Jupiter": BodySpec(
        {0: "6f6a66", 12: "8f7f70", 18: "c9b8a0", 22: "a58567", 27: "d8c8ae", 32: "a06c48", 40: "8f5a3a",
         43: "e6dccb", 50: "f0e8da", 55: "e2d0b4", 57: "95603f", 64: "84532f", 67: "dccbb0", 75: "b08f70",
         80: "cdbba2", 88: "8c7d70", 100: "6a6664"},
        latitude_weight=1, coarse_weight=0.06, coarse_scale=(9, 30), fine_weight=0.09, fine_scale=(16, 60),
        swirl=0.15, spot=Spot(-0.38, 0.28, 0.15, "b5482a"), limb_darkening=0.5, max_tilt=0.5,
    ),
    "MakeMake": BodySpec(
        {0: "4a2026", 35: "864248", 65: "b0686c", 88: "d8a2a2", 100: "f0d4d4"},
        coarse_weight=0.7, coarse_scale=(22, 22), fine_weight=0.7, radius_range=(0.22, 0.34),
    ),
    "Mars": BodySpec(
        {0: "3a262a", 18: "6a3628", 32: "b85620", 60: "d46c2c", 100: "e69a58"},
        coarse_scale=(14, 20), fine_weight=0.25, ice_caps=(0.92, -0.87), crater_depth=0.08, limb_darkening=0.2,
    ),
    "Mercury": BodySpec(
        {0: "4c4036", 50: "7c6a58", 100: "a8937c"},
        coarse_weight=0.5, coarse_scale=(24, 24), fine_weight=0.7, crater_depth=0.3,
    ),
    "Moon": BodySpec(
        {0: "48484c", 28: "5c5c60", 42: "9c9ca0", 100: "ccccce"},
        coarse_scale=(13, 13), fine_weight=0.25, crater_depth=0.22,
    ),
    "Neptune": BodySpec(
        {0: "1d3590", 25: "2b50b8", 42: "4272dc", 50: "2f58c4", 70: "3d68d4", 100: "203a98"},
        latitude_weight=1, coarse_weight=0.1, coarse_scale=(6, 24), fine_weight=0.06, fine_scale=(8, 60),
        clouds=Clouds(0.06, (6, 60)), spot=Spot(-0.3, 0.26, 0.12, "142a70"), limb_darkening=0.5,
    ),
    "Pluto": BodySpec(
        {0: "2c1a12", 22: "5c3c2a", 42: "b4967a", 75: "d8c4ae", 100: "efe2d2"},
        coarse_scale=(12, 18), fine_weight=0.3, heart_color="fbf4ea", crater_depth=0.06, radius_range=(0.28, 0.42),
    ),
    "Saturn": BodySpec(
        {0: "7a6c4c", 14: "a8905e", 22: "c9ad72", 30: "b3945c", 38: "dcc28a", 44: "c7a76a", 50: "f4e8c8",
         57: "c9a96c", 64: "dcc48e", 72: "b3955e", 82: "c4a870", 90: "8f7d58", 100: "6f6a5c"},
        latitude_weight=1, coarse_weight=0.03, coarse_scale=(5, 40), fine_weight=0.05, fine_scale=(6, 60),
        has_rings=True, limb_darkening=0.5, radius_range=(0.16, 0.24),
    ),
    "Uranus": BodySpec(
        {0: "86bcc8", 50: "a0d4dc", 100: "c8ecee"},
        latitude_weight=0.7, coarse_weight=0.06, coarse_scale=(4, 12), fine_weight=0,
        limb_darkening=0.5, max_tilt=3,
    ),
    "Venus": BodySpec(
        {0: "b08638", 30: "d8b458", 65: "f0dc98", 100: "fcf6d0"},
        latitude_weight=0.1, coarse_weight=0.5, coarse_scale=(7, 14), fine_weight=0.7, fine_scale=(9, 26),
        swirl=0.7, limb_darkening=0.4, haze_color="fff4c8",
    ),
}

RING_COLOR = "d1bf98"
RING_INNER_RADIUS = 1.2
RING_WIDTH = 1.1
# Percentages of the width, and the opacity as two hexadecimal digits. The gap at 65 is the Cassini Division.
RING_OPACITY = {
    0: "00", 8: "30", 22: "48", 26: "c8", 55: "f0", 63: "e0", 65: "08", 70: "10", 72: "b0", 90: "a0", 92: "50",
    94: "a0", 98: "80", 100: "00",
}
# fmt: on
