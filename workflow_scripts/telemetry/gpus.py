"""The NVIDIA GPUs of this machine, by the driver's own library (NVML).

Contract: NVML API reference, https://docs.nvidia.com/deploy/nvml-api/; `pynvml` is its binding by
NVIDIA (the package ``nvidia-ml-py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pynvml

from .records import Gpu, GpuSample

_MB = 1e6


class GpuError(Exception):
    """GPUs cannot be measured, or no longer; the message says why."""


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Return the UUIDs of the GPUs that a process may use; none where there is no driver."""
    return list(_visible(environment))


def free_gpu_bytes(environment: Mapping[str, str]) -> int | None:
    """Return the free memory of the GPUs that a process may use; None where it is not known."""
    gpus = _visible(environment)
    try:
        free = [int(pynvml.nvmlDeviceGetMemoryInfo(handle).free) for handle in gpus.values()]
    except pynvml.NVMLError:
        return None
    return sum(free) if free else None


def _visible(environment: Mapping[str, str]) -> dict[str, Any]:
    """The GPUs that a process may use, by their UUIDs."""
    try:
        pynvml.nvmlInit()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        gpus = {pynvml.nvmlDeviceGetUUID(handle): handle for handle in handles}
    except pynvml.NVMLError:
        return {}
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return {
        uuid: handle
        for index, (uuid, handle) in enumerate(gpus.items())
        if visible is None or _is_among(visible, index, uuid)
    }


class Gpus:
    """The GPUs that a process may use.

    Args:
        environment: ``CUDA_VISIBLE_DEVICES`` in it limits them: indices or UUIDs.

    Raises:
        GpuError: there is no driver, or no GPU that the process may use.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            handles = {index: pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)}
            visible = environment.get("CUDA_VISIBLE_DEVICES")
            self._handles = {
                index: handle
                for index, handle in handles.items()
                if visible is None or _is_among(visible, index, pynvml.nvmlDeviceGetUUID(handle))
            }
            self.found = [
                Gpu(
                    index=index,
                    name=pynvml.nvmlDeviceGetName(handle),
                    memory_mb=_mb(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
                )
                for index, handle in self._handles.items()
            ]
        except pynvml.NVMLError as error:
            raise GpuError(f"no NVIDIA GPU can be measured ({error})") from error
        if not self.found:
            raise GpuError("no NVIDIA GPU is visible to this process")

    def read(self) -> list[GpuSample]:
        """Look at each GPU once.

        Raises:
            GpuError: the driver no longer answers.
        """
        try:
            return [_sample(index, handle) for index, handle in self._handles.items()]
        except pynvml.NVMLError as error:
            raise GpuError(f"the NVIDIA driver no longer answers ({error})") from error


def _sample(index: int, handle: Any) -> GpuSample:
    memory = _known(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _known(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power = _known(pynvml.nvmlDeviceGetPowerUsage, handle)
    return GpuSample(
        index=index,
        utilisation_percent=None if rates is None else float(rates.gpu),
        memory_mb=None if memory is None else _mb(memory.used),
        process_memory_mb=_process_memory_mb(handle),
        power_w=None if power is None else power / 1000,
        temperature_c=_number(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        clock_mhz=_number(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM),
    )


def _known(ask: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the driver says, or ``None`` where this GPU does not support the question."""
    try:
        return ask(*arguments)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return None


def _number(ask: Callable[..., Any], *arguments: Any) -> float | None:
    value = _known(ask, *arguments)
    return None if value is None else float(value)


def _process_memory_mb(handle: Any) -> float | None:
    """Return the GPU memory of this process; Windows does not say it."""
    processes = _known(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    for process in processes or ():
        if process.pid == os.getpid() and process.usedGpuMemory is not None:
            return _mb(process.usedGpuMemory)
    return None


def _is_among(visible: str, index: int, uuid: str) -> bool:
    """Whether ``CUDA_VISIBLE_DEVICES`` names a GPU, by its index or the beginning of its UUID."""
    names = [name.strip() for name in visible.split(",")]
    return str(index) in names or any(
        uuid.startswith(name) for name in names if name.startswith("GPU-")
    )


def _mb(size: int) -> float:
    return round(size / _MB, 1)
