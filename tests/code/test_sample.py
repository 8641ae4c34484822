"""The building blocks of the sample dataset: noise, colours, scenes and images."""

import hashlib
from random import Random

import numpy as np
import pytest

from classifier.sample.colors import blend, parse_color, ramp_color
from classifier.sample.noise import CRATER_MAP_SIZE, NOISE_SIZE, crater_map, interpolate, noise_volume, sample_noise
from classifier.sample.renderer import RenderTask, render_file, render_files, render_image
from classifier.sample.scene import cross, dot, normalize, sample_scene
from classifier.sample.specs import BODY_SPECS, RING_OPACITY


def pixels(class_name: str, number: int = 1, seed: int = 77, size: int = 48) -> bytes:
    """Return the pixels of one image."""
    return render_image(RenderTask(class_name, number, seed, size)).tobytes()


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [(0, 0, 0), (0, 1, 1), (1, 0, 10), (0.5, 0, 5), (0, 0.25, 0.25), (0.5, 0.5, 5.5), (0.25, 0.75, 3.25)],
)
def test_interpolate_between_grid_points_returns_bilinear_value(row: float, column: float, expected: float) -> None:
    table = np.array([0, 1, 10, 11], np.float32)  # 2 x 2
    index = np.zeros(1, np.intp)
    axes = (2, np.array([row], np.float32)), (1, np.array([column], np.float32))
    assert interpolate(table, index, *axes) == pytest.approx(expected)


def test_interpolate_without_axes_returns_table_values() -> None:
    assert interpolate(np.array([3, 5, 7]), np.array([2, 0])).tolist() == [7, 3]


def test_noise_volume_values_are_uniform_and_periodic() -> None:
    volume = noise_volume().reshape((NOISE_SIZE + 1,) * 3)
    counts, _ = np.histogram(volume[:-1, :-1, :-1], bins=16, range=(0, 1))
    assert (counts == NOISE_SIZE**3 // 16).all()
    for axis in range(3):
        assert (volume.take(0, axis) == volume.take(-1, axis)).all()


def test_noise_volume_neighbors_are_similar() -> None:
    volume = noise_volume().reshape((NOISE_SIZE + 1,) * 3)
    for axis in range(3):
        assert np.abs(np.diff(volume, axis=axis)).mean() < 0.15  # 0.33 if they were independent


def test_crater_map_planes_are_periodic_and_not_flat() -> None:
    planes = crater_map().reshape(3, CRATER_MAP_SIZE + 1, CRATER_MAP_SIZE + 1)
    assert (planes[:, 0] == planes[:, -1]).all()
    assert (planes[:, :, 0] == planes[:, :, -1]).all()
    assert (planes.std(axis=(1, 2)) > 0.01).all()
    assert planes[2].max() <= np.float32(0.6)


def test_sample_noise_same_random_state_returns_same_values_in_range() -> None:
    points = np.array([normalize(x - 2, 1, x) for x in range(5)], np.float32).T
    first, again, other = (sample_noise(points, (14, 40), Random(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.float32
    assert first.shape == (5,)
    assert 0 <= first.min() <= first.max() <= 1
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0.0, (0, 0, 0)), (0.2, (1, 0, 0)), (1.0, (1, 1, 1)), (-3.0, (0, 0, 0)), (7.0, (1, 1, 1)), (0.1, (0.5, 0, 0))],
)
def test_ramp_color_at_position_returns_interpolated_color(position: float, expected: tuple[float, ...]) -> None:
    color = ramp_color({0: "000000", 20: "ff0000", 100: "ffffff"}, np.array([position], np.float32))
    assert color[:, 0] == pytest.approx(expected, abs=0.02)  # a ramp has 256 entries


def test_blend_clips_weight_to_between_color_and_target() -> None:
    color = np.zeros((3, 4), np.float32)
    blended = blend(color, "ff8000", np.array([-1, 0, 0.5, 9], np.float32))
    assert pytest.approx(np.outer([0, 0, 0.5, 1], parse_color("ff8000"))) == blended.T


@pytest.mark.parametrize("ramp", [RING_OPACITY, *(spec.color_ramp for spec in BODY_SPECS.values())])
def test_specs_ramps_ascend_from_0_to_100(ramp: dict[int, str]) -> None:
    assert list(ramp) == sorted(ramp)
    assert (min(ramp), max(ramp)) == (0, 100)


@pytest.mark.parametrize("class_name", BODY_SPECS)
def test_sample_scene_axes_are_orthonormal_and_body_is_inside_frame(class_name: str) -> None:
    for seed in range(20):
        scene = sample_scene(BODY_SPECS[class_name], 128, Random(seed))
        axes = np.array([scene.front, scene.east, scene.pole])
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
        assert dot(np.array(scene.light), scene.light) == pytest.approx(1)
        assert cross(scene.east, scene.pole) == scene.front
        assert 0 < scene.radius < 0.47 * 128
        assert abs(scene.pole[2]) > 0.01  # rings are never edge-on


@pytest.mark.parametrize("size", [8, 48, 128, 150])
def test_render_image_any_size_returns_rgb_image_of_that_size(size: int) -> None:
    image = render_image(RenderTask("Saturn", 1, 77, size))
    assert (image.mode, image.size) == ("RGB", (size, size))


@pytest.mark.parametrize("class_name", BODY_SPECS)
def test_render_image_shows_body_brighter_than_corners(class_name: str) -> None:
    image = np.array(render_image(RenderTask(class_name, 2, 77, 48)), float)
    assert image.std() > 10
    assert image[12:36, 12:36].mean() > image[:4, :4].mean()


def test_render_image_other_number_seed_or_class_returns_other_pixels() -> None:
    images = [pixels("Mars"), pixels("Mars", number=2), pixels("Mars", seed=5), pixels("Moon")]
    assert len(set(images)) == 4
    assert pixels("Mars") == images[0]


def test_render_image_default_size_and_seed_returns_known_pixels() -> None:
    digest = hashlib.sha256(b"".join(pixels(class_name, size=128) for class_name in BODY_SPECS))
    assert digest.hexdigest() == "45b2dc5c15d9c8a90f8e167f002a0e98fb45974a4b3431c341d267ddc9d76615"


def test_render_files_returns_jpeg_of_each_task() -> None:
    tasks = [RenderTask("Moon", number, 77, 8) for number in (1, 2)]
    contents = render_files(tasks)
    assert contents == [render_file(task) for task in tasks]
    assert all(content.startswith(b"\xff\xd8\xff") for content in contents)
    assert [task.path for task in tasks] == ["Moon/moon_0001.jpg", "Moon/moon_0002.jpg"]
