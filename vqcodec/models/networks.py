"""Networks that are filled from tensors of weights files; nothing is allocated before a network is known to fit them."""

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vqcodec.models.weights import Tensors
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PriorConfig, VQVAEConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.threads import make_forks_safe

_DRAWING: Final = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)
"""Functions by which layers draw their first values in place."""

_PRIMITIVES_VARIABLE: Final = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_KEPT_PRIMITIVES: Final = "256"
"""Most convolutions, each of one shape, that oneDNN is to keep prepared, by which torch runs them on a CPU. It would keep 1024: some 70 MiB
more, which grow with every new size of a picture. It reads the variable before the first convolution."""

Network = TypeVar("Network", bound=nn.Module)
Stored = TypeVar("Stored", VQVAE, Decoder)


class _NoRandomValues(TorchFunctionMode):
    """Leaves the random values out that new networks start with: they would be overwritten, cost time, and move the caller's generator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls a function of torch, or what stands in for one that draws."""
        if func in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


@torch.inference_mode(False)
def stored_network(kind: type[Stored], shape: VQVAEConfig, tensors: Tensors, device: str) -> Stored:
    """Returns an autoencoder or a decoder with the tensors of a weights file, float32, ready for inference on a device.

    Raises:
        ValueError, KeyError, OverflowError, RuntimeError, TypeError: The tensors do not fit (`_filled`).
    """
    floats = {name: torch.from_numpy(values.astype("float32")) for name, values in tensors.items()}
    num_blocks = shape.num_blocks if kind is VQVAE else shape.num_decoder_blocks
    network = _filled(partial(kind, shape), kind.load_stored_state, floats, expected=kind.stored_state, num_blocks=num_blocks)
    network = _placed(network, device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@torch.inference_mode(False)
def stored_prior(shape: PriorConfig, tensors: Tensors, device: str) -> PixelSnail:
    """Returns a prior with the tensors of a weights file, its parameters in fixed point, ready for inference on a device.

    Raises:
        ValueError, KeyError, OverflowError, RuntimeError, TypeError: The tensors do not fit (`_filled`).
    """
    integers = {name: torch.from_numpy(values.copy()) for name, values in tensors.items()}
    make = partial(PixelSnail, shape)
    network = _filled(make, PixelSnail.load_integers, integers, expected=PixelSnail.state_dict, num_blocks=shape.num_blocks)
    return _placed(network, device)


def _filled(
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
        with torch.device("cpu"):
            network = make()
    with torch.device("cpu"):
        fill(network, tensors)
    return network


def _placed(network: Network, device: str) -> Network:
    """Makes a network ready for inference on a device."""
    _prepare_torch()
    return network.eval().requires_grad_(False).to(device)


@cache
def _prepare_torch() -> None:
    """Sets what torch is to do in this process when networks run."""
    make_forks_safe()
    os.environ.setdefault(_PRIMITIVES_VARIABLE, _KEPT_PRIMITIVES)
