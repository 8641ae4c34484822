"""The reproducible runtime: the same inputs give the same bits. Import it before NumPy, TensorFlow and Keras.

Floating-point sums depend on the order of their terms. The libraries choose kernels, and with them this order, by
processor and by number of threads. Here every library is limited to its AVX2 kernels and to a fixed number of threads,
whatever the machine has and the environment says. This is not sufficient for every layer: see `get_model` in train.py.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from threading import Thread
from types import ModuleType
from typing import Any

from utils.errors import UserError

NUM_INTRA_OP_THREADS = 2  # fixed, because the gradient of a convolution is a sum of one partial sum per thread
RENDEZVOUS_TIMEOUT = 240  # seconds until all processes of a distributed run must have connected

os.environ.update(
    ONEDNN_MAX_CPU_ISA="AVX2",  # convolutions
    ONEDNN_DEFAULT_FPMATH_MODE="STRICT",  # no bfloat16
    TF_SET_ONEDNN_FPMATH_MODE="",
    TF_ENABLE_ONEDNN_OPTS="1",
    TF_XLA_FLAGS="",
    OPENBLAS_CORETYPE="Haswell",  # NumPy's matrix products, also in figures
    NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's exp and log
    TF_CPP_MIN_LOG_LEVEL="3",
    JAX_ENABLE_PREEMPTION_SERVICE="false",  # it ignores SIGTERM
)


def set_seed(seed: int, threads: int = NUM_INTRA_OP_THREADS) -> None:
    """Load Keras with a reproducible configuration and seed all random number generators.

    With JAX, also connect the processes of a distributed run.

    Args:
        seed: from 0 to 2**32 - 1.
        threads: the number of threads that share one operation. Training needs the default. Inference computes no
            gradients, so any number gives the same bits; 1 is the fastest there for concurrent calls.

    Raises:
        UserError: the backend is not installed, or the processes did not connect.
    """
    with _suppress_stderr():
        keras = _import_keras()
        if keras.backend.backend() == "tensorflow":
            _configure_tensorflow(threads)
        # The user's keras.json may contain other values.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
    if keras.backend.backend() == "jax":
        _init_distributed(keras)
    with _suppress_stderr():  # on JAX, this imports TensorFlow
        keras.utils.set_random_seed(seed)  # last, because distributed initialisation consumes random numbers


def _import_keras() -> Any:
    try:
        import keras
    except (ImportError, ValueError):
        backend = os.environ.get("KERAS_BACKEND")
        if backend in (None, "tensorflow"):
            raise
        raise UserError(
            f"KERAS_BACKEND is {backend}, which is not installed; unset it, or see .github/DEPLOYMENT.md"
        ) from None
    return keras


def _configure_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    # This optimiser rewrites x / sqrt(y) to x * rsqrt(y), and the approximation of rsqrt differs between processors.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    with contextlib.suppress(RuntimeError):  # TensorFlow is already in use: its number of threads cannot change
        tf.config.threading.set_intra_op_parallelism_threads(threads)


def _init_distributed(keras: ModuleType) -> None:
    """Distribute training over all devices of all processes, as Keras's environment variables describe them."""
    if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
        results: list[Exception | None] = []

        def initialize() -> None:
            try:
                keras.distribution.initialize()
                results.append(None)
            except (ValueError, RuntimeError) as error:
                results.append(error)

        # In a thread: JAX blocks signals while it waits for other processes, and aborts after five minutes.
        thread = Thread(target=initialize, daemon=True)
        thread.start()
        thread.join(RENDEZVOUS_TIMEOUT)
        if results != [None]:
            reason = " ".join(str(results[0]).split()) if results else f"timeout after {RENDEZVOUS_TIMEOUT} s"
            raise UserError(f"KERAS_DISTRIBUTION_*: the processes did not connect: {reason}; see .github/DEPLOYMENT.md")
    if len(keras.distribution.list_devices()) > 1:
        # Each process reads its own shard of a batch: Keras would load the full batch on every process.
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


@contextlib.contextmanager
def _suppress_stderr() -> Iterator[None]:
    """Hide what C++ libraries write to stderr while they load; TensorFlow's settings do not silence all of it."""
    sys.stderr.flush()
    saved_fd = os.dup(2)
    with open(os.devnull, "wb") as devnull:
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved_fd, 2)
        os.close(saved_fd)
