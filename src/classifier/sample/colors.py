"""Colours: hexadecimal codes, ramps and blending."""

from functools import cache
from itertools import pairwise

import numpy as np


def parse_color(code: str) -> np.ndarray:
    """Return hexadecimal digits, two per channel, as float32 (channels,) in 0..1."""
    return np.frombuffer(bytes.fromhex(code), np.uint8).astype(np.float32) / np.float32(255)


def ramp_color(ramp: dict[int, str], position: np.ndarray) -> np.ndarray:
    """Return the colours of a ramp.

    Args:
        ramp: percentages in ascending order, from 0 to 100, and their colours.
        position: float32 (...); 0..1 spans the ramp, values outside are clipped.

    Returns:
        float32 (channels, ...) in 0..1.
    """
    return _ramp_table(tuple(ramp.items())).take((position.clip(0, 1) * 255).astype(np.intp), axis=1)


@cache
def _ramp_table(stops: tuple[tuple[int, str], ...]) -> np.ndarray:
    """Return a ramp, interpolated linearly between its stops, as float32 (channels, 256) in 0..1."""
    percent = np.arange(256, dtype=np.float32) * np.float32(100 / 255)
    table = parse_color(stops[0][1])[:, None] + np.zeros_like(percent)
    for (low, low_color), (high, high_color) in pairwise(stops):
        step = (parse_color(high_color) - parse_color(low_color))[:, None]
        table += step * ((percent - low) / (high - low)).clip(0, 1)
    return table.clip(0, 1)


def blend(color: np.ndarray, target: str, weight: np.ndarray) -> np.ndarray:
    """Return colours, float32 (3, n), mixed with one target colour; the weight (n,) is clipped to 0..1."""
    blended: np.ndarray = color + (parse_color(target)[:, None] - color) * weight.clip(0, 1)
    return blended
