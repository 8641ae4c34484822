"""Find near-duplicates: copies of an image in another quality or size, and photographs of almost the same scene.

Two images are near-duplicates if all of this holds, for the images as the network sees them:

- Their perceptual hashes differ in at most MAX_DISTANCE of 144 bits. The hash is a difference hash in both directions:
  is each pixel of a 9 x 9 thumbnail brighter than its left, and than its upper, neighbour?
- Their brightness differs by at most a quarter.
- The pixels of their 8 x 8 thumbnails in colour, at the same brightness, differ by at most MAX_DIFFERENCE on average.

All is computed exactly, so that the result is the same on every machine. The package imagehash does not serve
here: a single hash of 64 bits also connects images that differ, such as two planets on a black background, and its
pHash uses floating point.
"""

from collections.abc import Callable, Iterator

import numpy as np

from utils.arrays import iter_groups

MAX_DISTANCE = 8
MAX_DIFFERENCE = 3  # of 255
MIN_STEP = 2  # of 255: smaller differences of neighbours are noise

SAMPLED_SIZE = 48  # larger images are sampled at 48 to 95 pixels per side
LUMA = np.array([299, 587, 114])  # ITU-R 601, in thousandths
GRAY_SIZE, COLOR_SIZE = 9, 8
GRAY_BYTES, COLOR_BYTES = GRAY_SIZE**2, COLOR_SIZE**2 * 3
NUM_THUMBNAIL_BYTES = GRAY_BYTES + COLOR_BYTES  # of one image
NUM_BANDS = MAX_DISTANCE + 1  # of 16 bits: if at most MAX_DISTANCE bits differ, at least one band is equal
MAX_NEIGHBOURS = 16  # with which an image is compared, per band
BLOCK_SIZE = 8192  # pairs whose thumbnails are in memory at a time


def make_thumbnails(images: np.ndarray) -> np.ndarray:
    """Return the thumbnails of images, 9 x 9 in grayscale and 8 x 8 in colour, as uint8 of shape (N, 273).

    Args:
        images: uint8 array of shape (N, height, width, channels).
    """
    height, width, channels = images.shape[1:]
    sampled = images[:, :: max(1, height // SAMPLED_SIZE), :: max(1, width // SAMPLED_SIZE)]
    gray, color = _shrink(sampled, GRAY_SIZE), _shrink(sampled, COLOR_SIZE)
    luma = gray @ LUMA // 1000 if channels == 3 else gray
    rgb = np.repeat(color, 3 // channels, axis=3)
    return np.concatenate([part.reshape(len(images), -1) for part in (luma, rgb)], axis=1).astype(np.uint8)


def _shrink(images: np.ndarray, size: int) -> np.ndarray:
    """Return square images of `size` pixels; each pixel is the mean of a rectangle."""
    num_images, height, width, channels = images.shape
    rows, columns = _summing_matrix(height, size), _summing_matrix(width, size)
    # These products are exact, because all sums are integers below 2**24.
    sums = rows @ images.reshape(num_images, height, width * channels).astype(np.float32)
    sums = columns @ sums.reshape(num_images, size, width, channels)
    areas = np.outer(rows.sum(axis=1), columns.sum(axis=1)).astype(np.int32)
    return sums.astype(np.int32) // areas[:, :, np.newaxis]


def _summing_matrix(length: int, num_parts: int) -> np.ndarray:
    """Return a matrix of zeros and ones that sums each part of `length` values; a part has at least one value."""
    starts = np.arange(num_parts) * length // num_parts
    ends = np.maximum(np.append(starts[1:], length), starts + 1)
    positions = np.arange(length)
    return ((starts[:, np.newaxis] <= positions) & (positions < ends[:, np.newaxis])).astype(np.float32)


class NearDuplicates:
    """Groups of images that are connected by pairs of near-duplicates.

    The hashes are sorted once for each band, and each image is compared with the next ones that have the same band
    (Manku et al. 2007, "Detecting Near-Duplicates for Web Crawling"). So the time grows with the number of images, not
    of pairs.
    """

    def __init__(self, thumbnails: np.ndarray) -> None:
        """Compute the hashes.

        Args:
            thumbnails: see `make_thumbnails`; one row per image.
        """
        gray, self.colors = np.split(thumbnails, [GRAY_BYTES], axis=1)
        # The sums of the quarters of two images differ by at most as much as their pixels do in total. So comparing the
        # quarters first excludes most pairs in less time.
        rows = self.colors.reshape(-1, 2, COLOR_SIZE // 2, COLOR_SIZE * 3).sum(axis=2, dtype=np.int32)
        self.quarters = rows.reshape(-1, 2, 2, COLOR_SIZE // 2, 3).sum(axis=3).reshape(-1, 12)
        self.brightness = self.quarters.sum(axis=1, dtype=np.int32)
        self.hashes = _difference_hashes(gray.reshape(-1, GRAY_SIZE, GRAY_SIZE))

    def find_groups(
        self,
        is_too_large: Callable[[list[int]], bool],
        given_ids: np.ndarray | None = None,
        max_distance: int = MAX_DISTANCE,
    ) -> Iterator[list[int]]:
        """Yield the groups of at least two images, as indices of images in ascending order.

        A group that is too large is divided by half the distance, again and again.

        Args:
            is_too_large: tells whether a group must be divided.
            given_ids: one integer per image; images with the same integer are never divided.
            max_distance: the number of bits in which the hashes of near-duplicates may differ.
        """
        if given_ids is None:
            given_ids = np.arange(len(self.hashes))
        pending = [(np.arange(len(self.hashes)), max_distance)]
        for indices, distance in pending:
            roots = self._connect(indices, given_ids[indices], distance)
            for positions in iter_groups(roots):
                group = indices[positions]
                if distance and is_too_large(group.tolist()):
                    pending.append((group, distance // 2))
                else:
                    yield group.tolist()

    def _connect(self, indices: np.ndarray, given_ids: np.ndarray, max_distance: int) -> np.ndarray:
        """Return the same number for connected images: the position of the first one."""
        hashes = self.hashes[indices]
        _, first_positions, inverse = np.unique(given_ids, return_index=True, return_inverse=True)
        roots = first_positions[inverse]
        for band in range(NUM_BANDS if max_distance else 0):
            order = np.lexsort(np.roll(hashes, -band, axis=1).T[::-1])  # by the band, then by the following bands
            bands = hashes[order, band]
            words = np.ascontiguousarray(np.pad(hashes[order], ((0, 0), (0, 3))).view(np.uint64).T)
            for step in range(1, MAX_NEIGHBOURS + 1):
                positions = np.flatnonzero(bands[step:] == bands[:-step])
                if not len(positions):
                    break
                distances = sum(np.bitwise_count(word[positions] ^ word[positions + step]) for word in words)
                positions = positions[distances <= max_distance]
                first, second = order[positions], order[positions + step]
                is_apart = roots[first] != roots[second]
                first, second = first[is_apart], second[is_apart]
                is_similar = self._have_similar_colors(indices[first], indices[second])
                roots = merge_roots(roots, first[is_similar], second[is_similar])
        return roots

    def _have_similar_colors(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return for each pair whether the brightness is similar and, at the same brightness, so are the colours."""
        sums = self.brightness[[first, second]]
        low, high = sums.min(axis=0), sums.max(axis=0)
        is_similar = 4 * high <= 5 * low
        for colors in (self.quarters, self.colors):
            candidates = np.flatnonzero(is_similar)
            for start in range(0, len(candidates), BLOCK_SIZE):
                block = candidates[start : start + BLOCK_SIZE]
                (sum_a, sum_b), a, b = sums[:, block, np.newaxis], colors[first[block]], colors[second[block]]
                # |a / sum_a - b / sum_b|, multiplied by sum_a * sum_b
                differences = np.abs(a * sum_b - b * sum_a).sum(axis=1, dtype=np.int64)
                is_similar[block] = differences <= MAX_DIFFERENCE * COLOR_BYTES * high[block]
        return is_similar


def _difference_hashes(gray: np.ndarray) -> np.ndarray:
    """Return the hashes of thumbnails, uint16 of shape (N, NUM_BANDS)."""
    values = gray.astype(np.int16)
    horizontal = values[:, :, 1:] > values[:, :, :-1] + MIN_STEP
    vertical = values[:, 1:] > values[:, :-1] + MIN_STEP
    bits = np.concatenate([part.reshape(len(gray), 72) for part in (horizontal, vertical)], axis=1)
    # Neighbouring bits go to different bands, because on a uniform background many neighbours are equal.
    bands = np.ascontiguousarray(bits.reshape(len(gray), 16, NUM_BANDS).transpose(0, 2, 1))
    return np.packbits(bands, axis=2).view(np.uint16)[:, :, 0]


def merge_roots(roots: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the roots after connecting pairs. The root of an image is the first image of its group."""
    while len(first):
        ends = np.sort(roots[np.stack([first, second])], axis=0)
        np.minimum.at(roots, ends[1], ends[0])
        while not np.array_equal(roots, shorter := roots[roots]):
            roots = shorter
        is_apart = roots[first] != roots[second]
        first, second = first[is_apart], second[is_apart]
    return roots
