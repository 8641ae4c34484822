"""Draws a sample dataset, the 11 classes as small photographs, so that nothing has to be downloaded.

    python src/render.py data/raw                    # 1606 JPEGs of 128 x 128, 8 MB, 3 seconds on two cores
    python src/render.py bench --per-class 2000 --size 256 --seed 5

It writes DIRECTORY/<class>/<class>_<number>.jpg. Image k of a class depends on the seed and the size alone: a larger
--per-class adds images and changes none. The bytes are the same on every x86-64 machine, because all arithmetic is
look-ups, integers and what IEEE 754 rounds exactly (+ - * / sqrt floor): sines, powers, dot products and sums would
vary with the processor's vector unit. Chance comes from random.Random, an integer generator seeded with a SHA-512.
"""
import argparse
import os
import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import sqrt
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image
from tqdm import tqdm

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Body:
    """The recipe of a class. Lengths are in radii, latitudes are sines of them, scales are noise cells a radius."""

    ramp: dict[int, str]  # percent: colour; noise fills a ramp evenly, so on rock a percent is a share of the surface
    latitude: float = 0.0  # how far the ramp follows the latitude: 1 paints bands, from the south pole to the north
    rough: float = 1.0  # how far it follows coarse noise: continents, the wavy edge of a band
    scale: tuple[int, int] = (14, 14)  # of that noise, along the equator and along the axis
    fine: float = 0.3  # how far it follows fine noise
    detail: tuple[int, int] = (45, 45)  # of that noise
    swirl: float = 0.0  # how far the coarse noise drags the fine along
    clouds: tuple[float, int, int] | None = None  # share of the surface, scale
    caps: tuple[float, float] | None = None  # latitudes where the ice begins, north and south
    spot: tuple[float, float, float, str] | None = None  # latitude, half width, half height, colour
    heart: str = ""  # its colour
    craters: float = 0.0  # how deep
    rings: bool = False
    limb: float = 0.05  # gas darkens towards the edge of the disc; dust hardly
    haze: str = ""  # colour of the air along the edge
    tilt: float = 0.7  # how far the pole leans
    radius: tuple[float, float] = (0.32, 0.47)  # of the frame


BODIES = {
    "Earth": Body({0: "04123c", 42: "0a2c70", 56: "14529a", 59: "2f6a9c", 60: "3f6b2f", 72: "4f6f35", 82: "a98d55",
                   100: "7d6237"}, scale=(16, 16), clouds=(0.34, 18, 40), caps=(0.9, -0.86), limb=0.2, haze="6fa8ff"),
    "Jupiter": Body({0: "6f6a66", 12: "8f7f70", 18: "c9b8a0", 22: "a58567", 27: "d8c8ae", 32: "a06c48", 40: "8f5a3a",
                     43: "e6dccb", 50: "f0e8da", 55: "e2d0b4", 57: "95603f", 64: "84532f", 67: "dccbb0", 75: "b08f70",
                     80: "cdbba2", 88: "8c7d70", 100: "6a6664"}, latitude=1, rough=0.06, fine=0.09, scale=(9, 30),
                    detail=(16, 60), swirl=0.15, spot=(-0.38, 0.28, 0.15, "b5482a"), limb=0.5, tilt=0.5),
    "MakeMake": Body({0: "4a2026", 35: "864248", 65: "b0686c", 88: "d8a2a2", 100: "f0d4d4"}, rough=0.7, fine=0.7,
                     scale=(22, 22), radius=(0.22, 0.34)),
    "Mars": Body({0: "3a262a", 18: "6a3628", 32: "b85620", 60: "d46c2c", 100: "e69a58"}, scale=(14, 20), fine=0.25,
                 caps=(0.92, -0.87), craters=0.08, limb=0.2),
    "Mercury": Body({0: "4c4036", 50: "7c6a58", 100: "a8937c"}, rough=0.5, fine=0.7, scale=(24, 24), craters=0.3),
    "Moon": Body({0: "48484c", 28: "5c5c60", 42: "9c9ca0", 100: "ccccce"}, scale=(13, 13), fine=0.25, craters=0.22),
    "Neptune": Body({0: "1d3590", 25: "2b50b8", 42: "4272dc", 50: "2f58c4", 70: "3d68d4", 100: "203a98"}, latitude=1,
                    rough=0.1, fine=0.06, scale=(6, 24), detail=(8, 60), clouds=(0.06, 6, 60),
                    spot=(-0.3, 0.26, 0.12, "142a70"), limb=0.5),
    "Pluto": Body({0: "2c1a12", 22: "5c3c2a", 42: "b4967a", 75: "d8c4ae", 100: "efe2d2"}, scale=(12, 18), fine=0.3,
                  heart="fbf4ea", craters=0.06, radius=(0.28, 0.42)),
    "Saturn": Body({0: "7a6c4c", 14: "a8905e", 22: "c9ad72", 30: "b3945c", 38: "dcc28a", 44: "c7a76a", 50: "f4e8c8",
                    57: "c9a96c", 64: "dcc48e", 72: "b3955e", 82: "c4a870", 90: "8f7d58", 100: "6f6a5c"}, latitude=1,
                   rough=0.03, fine=0.05, scale=(5, 40), detail=(6, 60), rings=True, limb=0.5, radius=(0.16, 0.24)),
    "Uranus": Body({0: "86bcc8", 50: "a0d4dc", 100: "c8ecee"}, latitude=0.7, rough=0.06, fine=0, scale=(4, 12),
                   limb=0.5, tilt=3),
    "Venus": Body({0: "b08638", 30: "d8b458", 65: "f0dc98", 100: "fcf6d0"}, latitude=0.1, rough=0.5, scale=(7, 14),
                  fine=0.7, detail=(9, 26), swirl=0.7, limb=0.4, haze="fff4c8"),
}
RING = {0: "00", 8: "30", 22: "48", 26: "c8", 55: "f0", 63: "e0", 65: "08", 70: "10", 72: "b0", 90: "a0", 92: "50",
        94: "a0", 98: "80", 100: "00"}  # opacity from 1.2 to 2.3 radii; the gap at 65 is Cassini's
CELLS = 64  # the noise repeats after so many; its table is 1 MB, which stays in the cache
MAP = 512  # cells along the map of craters, which repeats too


def colour(code: str) -> np.ndarray:
    """Hex digits -> float32 (channels,) in 0..1."""
    return np.frombuffer(bytes.fromhex(code), np.uint8).astype(np.float32) / np.float32(255)


@cache
def table(stops: tuple[tuple[int, str], ...]) -> np.ndarray:
    """Colours at percents, joined by straight lines -> float32 (channels, 256) in 0..1."""
    at = np.arange(256, dtype=np.float32) * np.float32(100 / 255)
    rows = colour(stops[0][1])[:, None] + np.zeros_like(at)
    for (low, first), (high, last) in pairwise(stops):
        step = (colour(last) - colour(first))[:, None]
        rows += step * ((at - low) / (high - low)).clip(0, 1)
    return rows.clip(0, 1)


def ramp(stops: dict[int, str], at: np.ndarray) -> np.ndarray:
    """Colours, float32 (channels, ...), at float32 positions (...), where 0..1 spans the ramp."""
    return table(tuple(stops.items())).take((at.clip(0, 1) * 255).astype(np.intp), axis=1)


def blend(painted: np.ndarray, paint: str, share: np.ndarray) -> np.ndarray:
    """Moves colours, float32 (3, n), towards one by a share (n,), which is cut to 0..1."""
    return painted + (colour(paint)[:, None] - painted) * share.clip(0, 1)


@cache
def lattice() -> np.ndarray:
    """Fractal noise in a cube that repeats: float32 ((CELLS + 1)**3,), spread evenly over 0..1."""
    random, total, weight = Random("lattice"), np.zeros((CELLS,) * 3, np.float32), 1.0
    for octave in (4, 8, 16, 32, 64):
        grid = np.frombuffer(random.randbytes(octave**3), np.uint8).astype(np.float32).reshape((octave,) * 3)
        at = np.arange(CELLS, dtype=np.float32) * np.float32(octave / CELLS)
        cell = at.astype(np.intp)
        part = at - cell.astype(np.float32)
        for axis in range(3):
            share = (part * part * (3 - 2 * part)).reshape([-1 if axis == a else 1 for a in range(3)])
            low, high = grid.take(cell, axis), grid.take((cell + 1) % octave, axis)
            grid = low + (high - low) * share
        total += grid * np.float32(weight)
        weight *= 0.6
    even = np.empty(CELLS**3, np.float32)
    even[total.ravel().argsort(kind="stable")] = np.arange(CELLS**3, dtype=np.float32) / np.float32(CELLS**3)
    return np.pad(even.reshape(total.shape), (0, 1), mode="wrap").ravel()


def between(values: np.ndarray, index: np.ndarray, *ways: tuple[int, np.ndarray]) -> np.ndarray:
    """Interpolates in a flat table: from an index a part of the way to the value a step further on."""
    if not ways:
        return values.take(index)
    (step, part), *rest = ways
    low = between(values, index, *rest)
    return low + (between(values[step:], index, *rest) - low) * part


def noise(points: np.ndarray, scale: tuple[int, int], random: Random) -> np.ndarray:
    """Noise (n,) in 0..1 at points, float32 (3, n) on the unit sphere, from a random place of the lattice."""
    move = [random.uniform(2 * CELLS, 3 * CELLS) for _ in range(3)]
    at = points * np.float32([[scale[0]], [scale[0]], [scale[1]]]) + np.float32(move)[:, None]
    corner = np.floor(at)
    x, y, z = at - corner
    i, j, k = corner.astype(np.int32) & (CELLS - 1)
    side = CELLS + 1
    return between(lattice(), ((i * side + j) * side + k).astype(np.intp), (side * side, x), (side, y), (1, z))


@cache
def crater_map() -> np.ndarray:
    """Craters on a plane that repeats: slopes in x and in y, and brightness; float32 (3 * (MAP + 1)**2,)."""
    random, height, bright = Random("craters"), np.zeros((MAP, MAP), np.float32), np.zeros((MAP, MAP), np.float32)
    for number in range(700):
        size = 3 / (1 - 0.88 * random.random())  # in cells: many small ones, few of up to 25
        reach = np.arange(-int(size * 3), int(size * 3) + 1)
        place = np.ix_((reach + random.getrandbits(9)) % MAP, (reach + random.getrandbits(9)) % MAP)
        far = (reach * reach + (reach * reach)[:, None]).astype(np.float32) * np.float32(1 / (size * size))
        wall = np.maximum(np.minimum(1.5 * far - 1, np.maximum(0.4 - 0.2 * far, 0)), -0.5)
        height[place] += wall * size
        bright[place] += wall * 0.25 + (np.maximum(1 - far / 8, 0) * 0.5 if number % 10 == 0 else 0)  # a fresh one
    planes = [(np.roll(height, -1, axis) - np.roll(height, 1, axis)) / 2 for axis in (1, 0)]
    return np.concatenate([np.pad(plane, (0, 1), mode="wrap").ravel() for plane in (*planes, np.minimum(bright, 0.6))])


def dent(lit: np.ndarray, painted: np.ndarray, depth: float, view: np.ndarray, light: Vector, random: Random) -> None:
    """Presses craters into a sphere seen at view (3, n): bends the light (n,), brightens the colours (3, n).

    The projection is stereographic, https://en.wikipedia.org/wiki/Stereographic_projection: circles stay circles.
    """
    x, y, z = view
    shrink = 1 / (1 + z)
    at = view[:2] * shrink * 180 + np.float32([random.uniform(MAP, 2 * MAP) for _ in range(2)])[:, None]
    corner = np.floor(at)
    across, down = at - corner
    i, j = corner.astype(np.int32) & (MAP - 1)
    side = MAP + 1
    index = (j * side + i).astype(np.intp) + np.arange(3)[:, None] * (side * side)
    slope_x, slope_y, bright = between(crater_map(), index, (side, down), (1, across))
    turn = (x * light[0] + y * light[1]) * shrink + light[2]
    lit -= (slope_x * (light[0] - x * turn) + slope_y * (light[1] - y * turn)) * z * depth
    painted *= 1 + bright * (4 * depth)


def unit(x: float, y: float, z: float) -> Vector:
    length = sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def along(points: np.ndarray, axis: Vector) -> np.ndarray:
    """Dot products (n,) of points (3, n) with an axis, added in a fixed order."""
    return points[0] * axis[0] + points[1] * axis[1] + points[2] * axis[2]


def surface(body: Body, points: np.ndarray, random: Random) -> np.ndarray:
    """The colours of a body, float32 (3, n) in 0..1, at points (3, n) on it; the pole is along z."""
    _, y, z = points
    front = points[0] > 0
    coarse = noise(points, body.scale, random)
    fine = noise(points + (coarse - 0.5) * body.swirl, body.detail, random) if body.fine else coarse
    painted = ramp(body.ramp, 0.5 + body.latitude / 2 * z + body.rough * (coarse - 0.5) + body.fine * (fine - 0.5))
    if body.spot:
        latitude, width, height, paint = body.spot
        a, b = y / width, (z - latitude) / height
        painted = blend(painted, paint, (1 - a * a - b * b) * 3 * front)
    if body.heart:  # https://mathworld.wolfram.com/HeartCurve.html, the sextic, with a ragged shore
        a, b = y * 1.5 + (fine - 0.5) * 0.2, z * 1.5 + 0.1 + (coarse - 0.5) * 0.2
        ring = a * a + b * b - 1
        painted = blend(painted, body.heart, (a * a * b * b * b - ring * ring * ring) * 12 * front)
    if body.clouds:
        share, *scale = body.clouds
        painted = blend(painted, "ffffff", (noise(points, scale, random) + share - 1) * 5)
    if body.caps:
        edge = z + (coarse - 0.5) * 0.12
        painted = blend(painted, "f6f8fa", np.maximum(edge - body.caps[0], body.caps[1] - edge) * 25)
    return painted


def ring_shadow(view: np.ndarray, pole: Vector, light: Vector) -> np.ndarray:
    """The share (n,) of the light that the rings let through to the sphere at view (3, n)."""
    slant = pole[0] * light[0] + pole[1] * light[1] + pole[2] * light[2]
    way = along(view, pole) * (-1 / (slant or 1))  # to the rings' plane
    x, y, z = (view[axis] + way * light[axis] for axis in range(3))
    return 1 - ramp(RING, np.where(way > 0, np.sqrt(x * x + y * y + z * z) - 1.2, 0) / 1.1)[0] * 0.8


def add_rings(frame: np.ndarray, disc: np.ndarray, x: np.ndarray, y: np.ndarray, pole: Vector, light: Vector) -> None:
    """Lays rings around the disc (h, w) in a frame (3, h, w); x (1, w) and y (h, 1) count radii from its centre."""
    z = (x * pole[0] + y * pole[1]) * (-1 / pole[2])
    square = x * x + y * y + z * z
    toward = x * light[0] + y * light[1] + z * light[2]
    shadow = (toward < 0) & (square - toward * toward < 1)
    opacity = ramp(RING, (np.sqrt(square) - 1.2) / 1.1)[0] * np.where(z > 0, 1, 1 - disc)
    frame += (colour("d1bf98")[:, None, None] * np.where(shadow, np.float32(0.05), np.float32(1)) - frame) * opacity


def draw(name: str, number: int, seed: int, size: int) -> Image.Image:
    """One picture, RGB, size x size. Below 128 it is drawn larger and reduced, so that it shows the same scene."""
    random, body, shrink = Random(f"{seed} {name} {number}"), BODIES[name], max(1, 128 // size)
    side = size * shrink
    radius, middle_x, middle_y = (random.uniform(*span) * side for span in (body.radius, (0.46, 0.54), (0.46, 0.54)))
    exposure, warm, grain = random.uniform(0.85, 1.1), random.uniform(-0.03, 0.03), random.uniform(0.01, 0.03)
    light = unit(random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(-0.1, 3))
    lean = random.uniform(-0.85, 0.85)
    lean += 0.15 if lean > 0 else -0.15  # never edge-on, where rings would be a line
    pole = unit(random.uniform(-body.tilt, body.tilt), 1, lean * body.tilt)
    east = unit(*cross(pole, (random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(0, 2))))
    front = cross(east, pole)  # where the spot or the heart is: mostly towards us

    frame = np.zeros((3, side, side), np.float32)
    for _ in range(int(random.uniform(-25, 25))):  # stars, in half of the pictures
        i, j, dot = int(random.random() * side), int(random.random() * side), max(1, side // 128)
        frame[:, i:i + dot, j:j + dot] = random.uniform(0.1, 0.7)
    x = ((np.arange(side, dtype=np.float32) + (0.5 - middle_x)) / radius)[None, :]
    y = ((middle_y - 0.5 - np.arange(side, dtype=np.float32)) / radius)[:, None]
    square = x * x + y * y
    disc = ((1 - np.sqrt(square)) * radius + 0.5).clip(0, 1)
    view = np.empty((3, side, side), np.float32)
    view[0], view[1], view[2] = x, y, np.sqrt(np.maximum(1 - square, 0))
    seen = np.flatnonzero((disc > 0) & (along(view, light) > -0.1))  # the night side is black and would only cost time
    view = view.reshape(3, -1).take(seen, axis=1)
    lit = along(view, light)

    painted = surface(body, np.stack([along(view, axis) for axis in (front, east, pole)]), random)
    if body.craters:
        dent(lit, painted, body.craters, view, light, random)
    if body.rings:
        lit *= ring_shadow(view, pole, light)
    if body.haze:
        painted = blend(painted, body.haze, (1 - view[2]) * (1 - view[2]) * 0.8)
    lit = np.maximum(lit, 0)
    painted *= lit * (1.1 + body.limb) / (lit + (0.1 + body.limb)) * disc.take(seen)
    frame *= 1 - disc
    for plane, values in zip(frame.reshape(3, -1), painted, strict=True):  # in one go it takes twice as long
        plane[seen] = values
    if body.rings:
        add_rings(frame, disc, x, y, pole, light)

    frame *= np.float32([1 + warm, 1, 1 - warm])[:, None, None] * np.float32(255 * exposure)
    sensor = np.frombuffer(random.randbytes(side * side), np.uint8).reshape(side, side)
    frame += (sensor.astype(np.float32) - 127.5) * (grain * 2)
    planes = frame.clip(0, 255, out=frame).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes]).reduce(shrink)


def write(task: tuple[Path, str, int, int, int]) -> None:
    """Draws one picture into its file: folder, class, number, seed, size."""
    folder, name, number, seed, size = task
    path = folder / name / f"{name.lower()}_{number:04}.jpg"
    draw(name, number, seed, size).save(path, quality=92, subsampling="4:2:0")


def render(target: Path, per_class: int, seed: int, size: int) -> None:
    """Draws all classes in a folder beside the target and renames it last, so that the target is whole or not there."""
    draft = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    tasks = [(draft, name, number, seed, size) for name in BODIES for number in range(1, per_class + 1)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lattice()  # before the processes fork, so that none has to make its own
    crater_map()
    pool = ProcessPoolExecutor(cores, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        for name in BODIES:
            (draft / name).mkdir(parents=True)
        done = pool.map(write, tasks, chunksize=2**18 // max(size, 128) ** 2 or 1)
        for _ in tqdm(done, total=len(tasks), unit="image", leave=False, disable=None):
            pass
        pool.shutdown()
        draft.rename(target)
    except BaseException:  # Ctrl-C, too, must not leave half a dataset
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(draft, ignore_errors=True)
        raise


def stop(number: int, _frame: object) -> None:
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)  # a second Ctrl-C must not cut the tidying short
    raise KeyboardInterrupt(number)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a sample dataset: 11 classes of celestial bodies.")
    parser.add_argument("directory", metavar="DIRECTORY", type=Path, help="a new or an empty folder")
    options = (("--per-class", "N", 146, 1, 10**6), ("--size", "PIXELS", 128, 8, 4096),
               ("--seed", "S", 77, 0, 2**32 - 1))
    for option, metavar, default, low, high in options:
        parser.add_argument(option, metavar=metavar, type=int, default=default, help=f"{low} to {high} ({default})")
    args = parser.parse_args()
    for option, _, _, low, high in options:
        value = getattr(args, option.strip("-").replace("-", "_"))
        if not low <= value <= high:
            parser.error(f"{option} must be from {low} to {high}, not {value}")
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        target = args.directory.resolve()
        if target.is_file():
            sys.exit(f"render.py: {args.directory} is a file; nothing was written. Give a new folder.")
        if target.exists() and any(target.iterdir()):
            sys.exit(f"render.py: {args.directory} is not empty; nothing was written. "
                     "Give a new folder, or remove this one.")
        render(target, args.per_class, args.seed, args.size)
    except (OSError, BrokenProcessPool) as error:
        sys.exit(f"render.py: {error}; nothing was written.")
    except KeyboardInterrupt as interrupt:
        print("render.py: stopped; nothing was written.", file=sys.stderr)
        sys.exit(128 + interrupt.args[0])
    print(f"{args.per_class * len(BODIES)} images of {len(BODIES)} classes in {args.directory}")


if __name__ == "__main__":
    main()
