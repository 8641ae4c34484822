"""The reproducible runtime. Import it first: it sets what NumPy, TensorFlow and Keras read as they load.

Sums come out the same only if they are added up in the same order. The libraries below pick
their kernels, and with them the order, by processor, and share out the work by the number of
threads; here each is held to its AVX2 kernels and to one number of threads, whatever the
machine has and the caller's environment says.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from threading import Thread
from types import ModuleType

from utils.stage import Failure

THREADS = 8  # whatever the number of cores: a gradient is a sum of partial sums, one a thread
WAIT = 240  # seconds for all processes of a run to come together

os.environ.update(
    ONEDNN_MAX_CPU_ISA="AVX2",  # convolutions
    ONEDNN_DEFAULT_FPMATH_MODE="STRICT",  # no silent bfloat16
    TF_SET_ONEDNN_FPMATH_MODE="",
    TF_ENABLE_ONEDNN_OPTS="1",
    TF_XLA_FLAGS="",
    OPENBLAS_CORETYPE="Haswell",  # NumPy's matrix products, in figures too
    NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's exp and log
    TF_CPP_MIN_LOG_LEVEL="3",
    JAX_ENABLE_PREEMPTION_SERVICE="false",  # it swallows SIGTERM
)


def start(seed: int, threads: int = THREADS) -> None:
    """Load Keras on its backend, quietly, with every source of chance fixed by `seed` (0 to 2**32 - 1).

    `threads` is how many share one operation. Where no gradient is summed, one for each call wastes the least.
    """
    with _quiet():
        try:
            import keras
        except (ImportError, ValueError):
            backend = os.environ.get("KERAS_BACKEND")
            if backend in (None, "tensorflow"):
                raise
            raise Failure(f"KERAS_BACKEND is {backend}, which is not installed: unset it, or see the README") from None

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.experimental.enable_op_determinism()
            with contextlib.suppress(RuntimeError):  # TensorFlow is in use already: its threads stay as they are
                tf.config.threading.set_intra_op_parallelism_threads(threads)
        # A user's keras.json may say otherwise.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
    if keras.backend.backend() == "jax":
        _join(keras)
    with _quiet():  # on JAX this loads TensorFlow
        keras.utils.set_random_seed(seed)  # last: meeting the others draws from the same chance


def _join(keras: ModuleType) -> None:
    """Spread what follows over all devices of all processes, as Keras's own environment variables name them."""
    if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
        met: list[Exception | None] = []

        def initialize() -> None:
            try:
                keras.distribution.initialize()
                met.append(None)
            except (ValueError, RuntimeError) as error:
                met.append(error)

        # In a thread: as long as JAX waits for the others it hears no signal, and after five minutes it aborts.
        waiting = Thread(target=initialize, daemon=True)
        waiting.start()
        waiting.join(WAIT)
        if met != [None]:
            reason = " ".join(str(met[0]).split()) if met else f"not all were there within {WAIT} s"
            raise Failure(f"KERAS_DISTRIBUTION_*: the processes did not come together: {reason} (README)")
    if len(keras.distribution.list_devices()) > 1:
        # Each process cuts its own share of a batch: Keras would read all, and throw away what is the others'.
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what C++ writes to stderr while it loads; no setting of TensorFlow's silences all of it."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
