"""Weights files, and networks that are filled from them; nothing is allocated before a network is known to fit its file."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vqcodec.errors import ModelError, WeightsMismatchError, is_lack_of_memory
from vqcodec.models.config import CONFIG_NAME

MAX_WEIGHTS_BYTES: Final = 1 << 30
"""Largest weights file that is read."""

_LONGEST_MESSAGE: Final = 300
_DRAWING: Final = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)
"""Functions by which layers draw their first values in place."""

Network = TypeVar("Network", bound=nn.Module)
Read = TypeVar("Read")


class _NoRandomValues(TorchFunctionMode):
    """Leaves the random values out that new networks start with: they would be overwritten, cost time, and move the caller's generator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls a function of torch, or what stands in for one that draws."""
        if func in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def read_weights(path: Path, sha256: str, build: Callable[[dict[str, Tensor]], Read]) -> Read:
    """Reads a weights file of this digest and builds something from its tensors.

    Raises:
        ModelError: It cannot be read, or `build` finds tensors missing or unfit; `WeightsMismatchError` where the digest differs.
        MemoryError: Memory does not hold it.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_WEIGHTS_BYTES:
            raise ModelError(f"{path}: expected a weights file of {MAX_WEIGHTS_BYTES} bytes at most, found one of {size}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise WeightsMismatchError(f"{path}: sha256 is {digest}, expected {sha256}")
    try:
        with nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"):
            return build(safetensors.torch.load(data))
    except (safetensors.SafetensorError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        if is_lack_of_memory(error):
            raise MemoryError(f"not enough memory for the model {path.parent}") from error
        raise ModelError(f"{path}: does not fit {CONFIG_NAME}: {shorten(str(error), _LONGEST_MESSAGE)}") from error


def filled(
    make: Callable[[], Network],
    fill: Callable[[Network, dict[str, Tensor]], object],
    tensors: dict[str, Tensor],
    *,
    expected: Callable[[Network], Mapping[str, Tensor]],
    num_blocks: int,
) -> Network:
    """Makes a network and fills it with tensors.

    It is made without memory first, on torch's device "meta", so that a shape that does not fit costs nothing.

    Args:
        make: function that makes the network.
        fill: function that loads the tensors into the network, and raises an error where they do not fit.
        tensors: the tensors by name.
        expected: function that returns the tensors that there must be, by a network.
        num_blocks: number of blocks that `make` makes, each of which has a tensor or more.

    Raises:
        ValueError: There are fewer tensors than blocks, or a tensor is missing or of another shape.
        KeyError, OverflowError, RuntimeError, TypeError: The tensors do not fit, as `make` and `fill` find.
    """
    if num_blocks > len(tensors):
        raise ValueError(f"a network of {num_blocks} blocks needs as many tensors or more, not {len(tensors)}")
    with _NoRandomValues():
        with torch.device("meta"):
            shapes = {name: list(values.shape) for name, values in expected(make()).items()}
        for name, shape in shapes.items():
            if name not in tensors:
                raise ValueError(f"there is no tensor {name}, expected one of shape {shape}")
            if list(tensors[name].shape) != shape:
                raise ValueError(f"tensor {name} has shape {list(tensors[name].shape)}, expected {shape}")
        network = make()
    fill(network, tensors)
    return network


def pop_prefixed(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Removes the tensors of a prefix, and returns them without it."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
