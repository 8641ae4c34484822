"""What people write with the stock libraries alone, to compare with: the three stages of the tutorial.

    python stock.py prepare|train|evaluate [our-network]

Run in a folder with params.yaml, data/raw and src; it writes stock/. `bench.py` runs it. With `our-network` it trains
this project's network, with as many threads, rather than the tutorial's.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", MPLBACKEND="agg", BENTOML_DO_NOT_TRACK="True")

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import yaml

PREPARED, MODEL, EVALUATION = Path("stock/prepared"), Path("stock/model"), Path("stock/evaluation")
NAME = "stock_classifier"
PARAMS = yaml.safe_load(Path("params.yaml").read_text())


def prepare() -> None:
    p = PARAMS["prepare"]
    train, test = tf.keras.utils.image_dataset_from_directory(
        "data/raw",
        color_mode="grayscale" if p["grayscale"] else "rgb",
        batch_size=32,
        image_size=p["image_size"],
        seed=p["seed"],
        validation_split=p["split"],
        subset="both",
        verbose=False,
    )
    PREPARED.mkdir(parents=True)
    (PREPARED / "labels.json").write_text(json.dumps(train.class_names))
    figure = plt.figure(figsize=(10, 5), tight_layout=True)
    for images, _ in train.take(1):
        for i in range(10):
            plt.subplot(2, 5, i + 1)
            plt.imshow(images[i].numpy().astype("uint8").squeeze(), cmap="gray")
            plt.axis("off")
    figure.savefig(PREPARED / "preview.png")
    for name, part in (("train", train), ("test", test)):
        part.map(lambda x, y: (x / 255.0, y)).save(str(PREPARED / name))


def load(part: str) -> tf.data.Dataset:
    return tf.data.Dataset.load(str(PREPARED / part))


def tutorial_model(shape: tuple[int, ...]) -> tf.keras.Model:
    p = PARAMS["train"]
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input(shape),
            tf.keras.layers.Conv2D(p["conv_size"], 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(3),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(p["dense_size"], activation="relu"),
            tf.keras.layers.Dense(p["output_classes"]),
        ]
    )


def our_model(shape: tuple[int, ...]) -> tf.keras.Model:
    from train import get_model

    p = PARAMS["train"]
    model = get_model(shape, p["conv_size"], p["dense_size"], p["output_classes"])
    return tf.keras.Sequential([tf.keras.layers.Input(shape), *model.layers[1:]])  # scaled already


def train() -> None:
    import bentoml

    if "our-network" in sys.argv:
        sys.path.insert(0, "src")
        from utils.seed import THREADS

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    p = PARAMS["train"]
    tf.keras.utils.set_random_seed(p["seed"])
    train, test = load("train"), load("test")
    model = (our_model if "our-network" in sys.argv else tutorial_model)(train.element_spec[0].shape[1:])
    model.compile(
        tf.keras.optimizers.Adam(p["lr"]),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[tf.keras.metrics.SparseCategoricalAccuracy()],
    )
    model.fit(train, epochs=p["epochs"], validation_data=test, verbose=2)
    MODEL.mkdir()
    bentoml.keras.save_model(NAME, model, include_optimizer=True)
    bentoml.models.export_model(f"{NAME}:latest", str(MODEL.resolve() / f"{NAME}.bentomodel"))
    np.save(MODEL / "history.npy", model.history.history)


def evaluate() -> None:
    import bentoml

    labels = json.loads((PREPARED / "labels.json").read_text())
    history = np.load(MODEL / "history.npy", allow_pickle=True).item()
    model = bentoml.keras.load_model(f"{NAME}:latest")
    test = load("test")
    EVALUATION.mkdir()
    loss, accuracy = model.evaluate(test, verbose=2)  # the first pass
    (EVALUATION / "metrics.json").write_text(json.dumps({"val_loss": loss, "val_acc": accuracy}))

    figure = plt.figure(figsize=(6, 4), tight_layout=True)
    plt.plot(history["loss"], label="training loss")
    plt.plot(history["val_loss"], label="validation loss")
    plt.legend()
    figure.savefig(EVALUATION / "training_history.png")

    figure = plt.figure(figsize=(10, 5), tight_layout=True)
    for images, classes in test.take(1):
        for i in range(10):
            plt.subplot(2, 5, i + 1)
            plt.imshow(images[i].numpy().squeeze(), cmap="gray")
            predicted = labels[int(tf.argmax(model.predict(images[i : i + 1], verbose=0)[0]))]
            plt.title(f"{predicted}\n{labels[int(classes[i])]}")
            plt.axis("off")
    figure.savefig(EVALUATION / "pred_preview.png")

    predicted = tf.argmax(model.predict(test, verbose=0), axis=1)  # the second
    actual = tf.concat([y for _, y in test], axis=0)  # the third
    counts = tf.math.confusion_matrix(actual, predicted, num_classes=len(labels)).numpy()
    figure = plt.figure(figsize=(6, 6), tight_layout=True)
    plt.imshow(counts, cmap="Blues")
    for i in range(len(labels)):
        for j in range(len(labels)):
            plt.text(j, i, counts[i, j], ha="center", va="center")
    plt.xticks(range(len(labels)), labels, rotation=90)
    plt.yticks(range(len(labels)), labels)
    figure.savefig(EVALUATION / "confusion_matrix.png")


if __name__ == "__main__":
    {"prepare": prepare, "train": train, "evaluate": evaluate}[sys.argv[1]]()
