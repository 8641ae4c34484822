"""The baseline of the benchmark: the tutorial's three stages, written with the stock libraries only.

    python stock.py prepare|train|evaluate [our-network]

Runs in a folder with params.yaml, data/raw and src, and writes stock/. `bench.py` starts it. With `our-network`, it
trains this project's network with the same number of threads, instead of the tutorial's network.
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

PREPARED_DIR, MODEL_DIR, EVALUATION_DIR = Path("stock/prepared"), Path("stock/model"), Path("stock/evaluation")
MODEL_NAME = "stock_classifier"
PARAMS = yaml.safe_load(Path("params.yaml").read_text())


def prepare() -> None:
    params = PARAMS["prepare"]
    train, test = tf.keras.utils.image_dataset_from_directory(
        "data/raw",
        color_mode="grayscale" if params["grayscale"] else "rgb",
        batch_size=32,
        image_size=params["image_size"],
        seed=params["seed"],
        validation_split=params["split"],
        subset="both",
        verbose=False,
    )
    PREPARED_DIR.mkdir(parents=True)
    (PREPARED_DIR / "labels.json").write_text(json.dumps(train.class_names))
    figure = plt.figure(figsize=(10, 5), tight_layout=True)
    for images, _ in train.take(1):
        for i in range(10):
            plt.subplot(2, 5, i + 1)
            plt.imshow(images[i].numpy().astype("uint8").squeeze(), cmap="gray")
            plt.axis("off")
    figure.savefig(PREPARED_DIR / "preview.png")
    for name, split in (("train", train), ("test", test)):
        split.map(lambda images, labels: (images / 255.0, labels)).save(str(PREPARED_DIR / name))


def load_split(name: str) -> tf.data.Dataset:
    return tf.data.Dataset.load(str(PREPARED_DIR / name))


def tutorial_model(image_shape: tuple[int, ...]) -> tf.keras.Model:
    params = PARAMS["train"]
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input(image_shape),
            tf.keras.layers.Conv2D(params["conv_size"], 3, activation="relu"),
            tf.keras.layers.MaxPooling2D(3),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(params["dense_size"], activation="relu"),
            tf.keras.layers.Dense(params["output_classes"]),
        ]
    )


def our_model(image_shape: tuple[int, ...]) -> tf.keras.Model:
    from train import get_model

    params = PARAMS["train"]
    model = get_model(image_shape, params["conv_size"], params["dense_size"], params["output_classes"])
    # This project's network scales its input itself.
    return tf.keras.Sequential([tf.keras.layers.Input(image_shape), tf.keras.layers.Rescaling(255), model])


def train() -> None:
    import bentoml

    if "our-network" in sys.argv:
        sys.path.insert(0, "src")
        from utils.seed import NUM_INTRA_OP_THREADS

        tf.config.threading.set_intra_op_parallelism_threads(NUM_INTRA_OP_THREADS)
    params = PARAMS["train"]
    tf.keras.utils.set_random_seed(params["seed"])
    train, test = load_split("train"), load_split("test")
    model = (our_model if "our-network" in sys.argv else tutorial_model)(train.element_spec[0].shape[1:])
    model.compile(
        tf.keras.optimizers.Adam(params["lr"]),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[tf.keras.metrics.SparseCategoricalAccuracy()],
    )
    model.fit(train, epochs=params["epochs"], validation_data=test, verbose=2)
    MODEL_DIR.mkdir()
    bentoml.keras.save_model(MODEL_NAME, model, include_optimizer=True)
    bentoml.models.export_model(f"{MODEL_NAME}:latest", str(MODEL_DIR.resolve() / f"{MODEL_NAME}.bentomodel"))
    np.save(MODEL_DIR / "history.npy", model.history.history)


def evaluate() -> None:
    import bentoml

    labels = json.loads((PREPARED_DIR / "labels.json").read_text())
    history = np.load(MODEL_DIR / "history.npy", allow_pickle=True).item()
    model = bentoml.keras.load_model(f"{MODEL_NAME}:latest")
    test = load_split("test")
    EVALUATION_DIR.mkdir()
    loss, accuracy = model.evaluate(test, verbose=2)  # first pass over the test images
    (EVALUATION_DIR / "metrics.json").write_text(json.dumps({"val_loss": loss, "val_acc": accuracy}))

    figure = plt.figure(figsize=(6, 4), tight_layout=True)
    plt.plot(history["loss"], label="training loss")
    plt.plot(history["val_loss"], label="validation loss")
    plt.legend()
    figure.savefig(EVALUATION_DIR / "training_history.png")

    figure = plt.figure(figsize=(10, 5), tight_layout=True)
    for images, classes in test.take(1):
        for i in range(10):
            plt.subplot(2, 5, i + 1)
            plt.imshow(images[i].numpy().squeeze(), cmap="gray")
            predicted = labels[int(tf.argmax(model.predict(images[i : i + 1], verbose=0)[0]))]
            plt.title(f"{predicted}\n{labels[int(classes[i])]}")
            plt.axis("off")
    figure.savefig(EVALUATION_DIR / "pred_preview.png")

    predicted = tf.argmax(model.predict(test, verbose=0), axis=1)  # second pass
    actual = tf.concat([classes for _, classes in test], axis=0)  # third pass
    confusion = tf.math.confusion_matrix(actual, predicted, num_classes=len(labels)).numpy()
    figure = plt.figure(figsize=(6, 6), tight_layout=True)
    plt.imshow(confusion, cmap="Blues")
    for i in range(len(labels)):
        for j in range(len(labels)):
            plt.text(j, i, confusion[i, j], ha="center", va="center")
    plt.xticks(range(len(labels)), labels, rotation=90)
    plt.yticks(range(len(labels)), labels)
    figure.savefig(EVALUATION_DIR / "confusion_matrix.png")


if __name__ == "__main__":
    {"prepare": prepare, "train": train, "evaluate": evaluate}[sys.argv[1]]()
