"""Names of the devices that networks run on. Imports torch only where there may be a device of CUDA."""

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vqcodec.errors import ModelError
from vqcodec.nn.kernels import library
from vqcodec.nn.runtime import has_fast_runtime

if TYPE_CHECKING:
    import torch

MAX_BATCH_PIXELS: Final = 1 << 22
"""Most pixels of the pictures in one batch on a CPU, unless one picture alone has more."""

_CPU_BATCH: Final = 8
"""Pictures that go through the networks together on a CPU by default."""

_MOST_OF_BATCH: Final = 1024
"""Most pictures that go through the networks together on a GPU by default."""

_BYTES_OF_PIXEL: Final = 2000
"""About how many bytes of a GPU's memory the networks take for each pixel of a batch."""

_USED_SHARE: Final = 0.4
"""Share of a GPU's free memory that a batch may take."""

_CUDA_DRIVER: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_ROCM_DRIVER: Final = Path("/dev/kfd")
"""What AMD's driver shows of itself, whose devices torch names cuda, too."""


def device_name(device: str) -> str:
    """Returns "cuda" or "cpu" for "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises:
        ModelError: CUDA is asked for, and there is none.
        ValueError: The name is another one.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "cpu" or (device == "auto" and not _may_have_cuda()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ModelError("device cuda was asked for, but torch finds no CUDA device")
    return "cpu"


def needs_torch(device: str) -> bool:
    """Returns whether networks run by torch on the device "auto", "cpu" or "cuda": without importing it, any CUDA driver counts as one."""
    return device == "cuda" or (device == "auto" and _may_have_cuda()) or not has_fast_runtime("cpu") or library() is None


def resolve_device(device: str) -> "torch.device":
    """Returns the torch device of "auto" (CUDA where there is one), "cpu" or "cuda"; the errors are those of `device_name`."""
    name = device_name(device)
    import torch

    return torch.device(name)


def batch_limits(device: str, batch_size: int | None) -> tuple[int, int]:
    """Returns the most pictures, and the most pixels of all of them, that go through the networks of a device "cpu" or "cuda" together.

    Args:
        device: the device.
        batch_size: most pictures; None for 8 on a CPU, and for as many as the free memory of a GPU takes.
    """
    if device == "cpu":
        return (_CPU_BATCH if batch_size is None else batch_size), MAX_BATCH_PIXELS
    import torch

    free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return (_MOST_OF_BATCH if batch_size is None else batch_size), int(_USED_SHARE * free) // _BYTES_OF_PIXEL


@cache
def _may_have_cuda() -> bool:
    """Returns whether the driver of a graphics processor is installed, without which torch need not be asked."""
    try:
        ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return _ROCM_DRIVER.exists()
    return True
