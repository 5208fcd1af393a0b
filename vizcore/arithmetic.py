"""Precision, memory format and threads: how a device likes to compute, or how bytes repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


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


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device, exact: bool) -> Iterator[None]:
    """Within this context the network computes in ``precision``; ``exact``: on one thread, with repeatable kernels."""
    with contextlib.ExitStack() as stack:
        if exact:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
            if device.type == "cuda":
                stack.enter_context(torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False))
        if precision == "bf16":
            stack.enter_context(torch.autocast(device.type, torch.bfloat16))
        yield
