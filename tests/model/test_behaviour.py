"""The trained package behaves as a classifier should."""

import json

import numpy as np
from conftest import ROOT

from utils import dataset, params


def test_accuracy_file_by_file_is_val_acc_exactly(trained, loaded) -> None:
    packed, model = loaded
    preprocess, postprocess = (packed.custom_objects[name] for name in ("preprocess", "postprocess"))
    _, test = dataset.load(trained / "data/prepared", "test")
    right = 0
    for file in test.files:
        answer = postprocess(np.asarray(model(preprocess(trained / "data/raw" / file))))
        right += answer["prediction"] == file.split("/")[0]
    metrics = json.loads((trained / "evaluation/metrics.json").read_text())
    assert right / len(test.files) == metrics["val_acc"]
    assert metrics["model"] == str(packed.tag)


def test_one_picture_gives_what_a_batch_gives(trained, loaded) -> None:
    _, model = loaded
    _, test = dataset.load(trained / "data/prepared", "test")
    batch = np.asarray(model(np.array(test.images)))
    single = np.concatenate([np.asarray(model(image[np.newaxis])) for image in np.array(test.images)])
    assert np.allclose(batch, single, atol=1e-5)


def test_it_learns(loaded) -> None:
    assert loaded[0].info.metadata["scores"]["loss"] < np.log(11)


def test_the_committed_metrics_are_good() -> None:
    metrics = json.loads((ROOT / "evaluation/metrics.json").read_text())
    assert metrics["val_acc"] > 0.95
    assert len(metrics["classes"]) == params.load(params.Train, ROOT / "params.yaml").output_classes
