"""Precision, memory format, copies and threads: how a device likes to compute, or how bytes repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn


def choose_precision(wanted: str, device: torch.device, exact: bool) -> str:
    """``"bf16"`` or ``"fp32"`` for a spec's precision on a device.

    ``"auto"`` is bf16 where the device multiplies it faster: CUDA since Ampere, and CPUs with AMX or AVX512-BF16.
    (It is a matter of capability, never of a timing, so that equal specs give equal frames.)
    """
    if exact:
        return "fp32"
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        return "bf16" if _cpu_has("_is_amx_tile_supported") or _cpu_has("_is_avx512_bf16_supported") else "fp32"
    return "fp32"


def _cpu_has(probe: str) -> bool:
    # torch has no public name for these; without them the answer is only slower.
    return bool(getattr(torch.cpu, probe, lambda: False)())


def like(module: nn.Module, device: torch.device) -> None:
    """Lay the weights out as the device's convolutions like them (values stay): channels last, except on MPS."""
    if device.type != "mps":
        for parameter in module.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def arithmetic(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Within this context a network computes in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """An array on the device; a GPU that is still at work is not waited for."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def arriving(values: Tensor) -> Callable[[], np.ndarray]:
    """Begin to bring a tensor to the host; what is returned gives it, and waits for a GPU only when it is called."""
    if values.device.type != "cuda":
        found = values.cpu().numpy()
        return lambda: found
    here = values.to("cpu", non_blocking=True)  # into page-locked memory
    there = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    there.record()

    def wait() -> np.ndarray:
        there.synchronize()
        return here.numpy()

    return wait


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Within this context everything computes on one thread, with kernels that repeat their bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if device.type == "cuda":
            with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
                yield
        else:
            yield
    finally:
        torch.set_num_threads(threads)
