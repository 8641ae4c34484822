"""Write a split: a folder of three files.

images.npy   uint8, (N, height, width, channels)
labels.npy   int32, (N,), indices into the class names
files.json   N names, relative to the dataset: "class/file" for example
"""

import json
from pathlib import Path

import numpy as np

from classifier.data.decoder import DecodedImages
from classifier.data.discovery import RawDataset


def write_split(dataset: RawDataset, decoded: DecodedImages, indices: list[int], folder: Path) -> None:
    """Write the images with these indices into a new folder."""
    folder.mkdir()
    with (folder / "images.npy").open("xb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(indices), *decoded.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.writelines(decoded.iter_bytes(indices))
    np.save(folder / "labels.npy", np.array([dataset.labels[i] for i in indices], np.int32))
    paths = [dataset.paths[i] for i in indices]
    (folder / "files.json").write_text(json.dumps(paths, indent=0) + "\n", "ascii")
