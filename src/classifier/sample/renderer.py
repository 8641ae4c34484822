"""Render one image of the sample dataset."""

import io
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from PIL import Image

from classifier.sample.colors import blend
from classifier.sample.rings import draw_rings, ring_shadow
from classifier.sample.scene import Scene, dot, sample_scene
from classifier.sample.specs import BODY_SPECS
from classifier.sample.surface import apply_craters, surface_color

MIN_FRAME_SIZE = 128  # pixels; smaller images are rendered larger and then reduced, so that they show the same scene
NIGHT = -0.1  # cosine of the angle to the light; the surface is black beyond, and rendering it would only cost time


class RenderTask(NamedTuple):
    """One image of the dataset. It depends on these four values alone."""

    class_name: str
    number: int
    seed: int
    size: int  # width and height in pixels

    @property
    def path(self) -> str:
        """Where the image belongs in the folder of the dataset."""
        return f"{self.class_name}/{self.class_name.lower()}_{self.number:04}.jpg"


def render_files(tasks: Sequence[RenderTask]) -> list[bytes]:
    """Return the bytes of several JPEG files."""
    return [render_file(task) for task in tasks]


def render_file(task: RenderTask) -> bytes:
    """Return the bytes of a JPEG file."""
    stream = io.BytesIO()
    render_image(task).save(stream, "JPEG", quality=92, subsampling="4:2:0")
    return stream.getvalue()


def render_image(task: RenderTask) -> Image.Image:
    """Return an RGB image of size x size pixels."""
    rng = Random(f"{task.seed} {task.class_name} {task.number}")
    factor = max(1, MIN_FRAME_SIZE // task.size)
    size_px = task.size * factor
    scene = sample_scene(BODY_SPECS[task.class_name], size_px, rng)
    frame = np.zeros((3, size_px, size_px), np.float32)
    _draw_stars(frame, rng)
    _draw_body(frame, scene, rng)
    pixels = _expose(frame, scene, rng)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in pixels]).reduce(factor)


def _draw_stars(frame: np.ndarray, rng: Random) -> None:
    """Draw stars into half of all frames, float32 (3, size, size), in place."""
    size_px = frame.shape[1]
    star_size = max(1, size_px // MIN_FRAME_SIZE)
    for _ in range(int(rng.uniform(-25, 25))):
        row, column = int(rng.random() * size_px), int(rng.random() * size_px)
        frame[:, row : row + star_size, column : column + star_size] = rng.uniform(0.1, 0.7)


def _draw_body(frame: np.ndarray, scene: Scene, rng: Random) -> None:
    """Draw the body and its rings into a frame, float32 (3, size, size), in place."""
    pixel = np.arange(frame.shape[1], dtype=np.float32)
    x = ((pixel + (0.5 - scene.center_x)) / scene.radius)[None, :]
    y = ((scene.center_y - 0.5 - pixel) / scene.radius)[:, None]
    squared_distance = x * x + y * y
    coverage = ((1 - np.sqrt(squared_distance)) * scene.radius + 0.5).clip(0, 1)  # of each pixel, by the body
    normals = np.empty_like(frame)
    normals[0], normals[1], normals[2] = x, y, np.sqrt(np.maximum(1 - squared_distance, 0))
    visible = np.flatnonzero((coverage > 0) & (dot(normals, scene.light) > NIGHT))
    color = _shade(scene, normals.reshape(3, -1).take(visible, axis=1), coverage.take(visible), rng)
    frame *= 1 - coverage
    for plane, values in zip(frame.reshape(3, -1), color, strict=True):  # one assignment for all takes twice as long
        plane[visible] = values
    if scene.spec.has_rings:
        draw_rings(frame, coverage, x, y, scene)


def _shade(scene: Scene, normals: np.ndarray, coverage: np.ndarray, rng: Random) -> np.ndarray:
    """Return the colours (3, n) of pixels (n,) in the light of the scene, multiplied by their coverage."""
    spec = scene.spec
    illumination = dot(normals, scene.light)
    points = np.stack([dot(normals, axis) for axis in (scene.front, scene.east, scene.pole)])
    color = surface_color(spec, points, rng)
    if spec.crater_depth:
        apply_craters(illumination, color, normals, scene, rng)
    if spec.has_rings:
        illumination *= ring_shadow(normals, scene)
    if spec.haze_color:
        color = blend(color, spec.haze_color, (1 - normals[2]) * (1 - normals[2]) * 0.8)
    illumination = np.maximum(illumination, 0)
    limb = spec.limb_darkening
    color *= illumination * (1.1 + limb) / (illumination + (0.1 + limb)) * coverage
    return color


def _expose(frame: np.ndarray, scene: Scene, rng: Random) -> np.ndarray:
    """Return a frame, float32 (3, size, size), as uint8 with a camera's colour cast and noise; overwrite the frame."""
    cast = np.array([1 + scene.color_temperature, 1, 1 - scene.color_temperature], np.float32)
    frame *= cast[:, None, None] * np.float32(255 * scene.exposure)
    noise = np.frombuffer(rng.randbytes(frame[0].size), np.uint8).reshape(frame[0].shape)
    frame += (noise.astype(np.float32) - 127.5) * (scene.noise_level * 2)
    return frame.clip(0, 255, out=frame).astype(np.uint8)
