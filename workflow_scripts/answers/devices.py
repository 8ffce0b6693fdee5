"""Which GPU a job gets, where the machine has several: a lease, which ends with its holder.

Snakemake only counts (`--resources gpu=N`); it does not say which device is whose.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path

from ..core.locks import try_locked
from ..telemetry.gpus import visible_gpus

log = logging.getLogger(__name__)

_PAUSE_S = 1.0
"""Between two looks for a free GPU, where more jobs run than there are GPUs."""


@contextlib.contextmanager
def leased_gpu(folder: Path, environment: MutableMapping[str, str]) -> Iterator[None]:
    """Limit this process to a GPU that no other job of these results uses.

    It changes nothing where there is one GPU, or none of NVIDIA. Call it before the model's library
    is loaded: CUDA reads ``CUDA_VISIBLE_DEVICES`` once.

    Args:
        folder: where the locks are, one for each GPU.
        environment: of this process.
    """
    gpus = visible_gpus(environment)
    if len(gpus) < 2:
        yield
        return
    with contextlib.ExitStack() as stack:
        gpu = _free(folder, gpus, stack)
        log.info("this part uses the GPU %s", gpu)
        environment["CUDA_VISIBLE_DEVICES"] = gpu
        yield


def _free(folder: Path, gpus: Sequence[str], stack: contextlib.ExitStack) -> str:
    while True:
        for gpu in gpus:
            if stack.enter_context(try_locked(folder / f"{gpu}.lock")):
                return gpu
        time.sleep(_PAUSE_S)
