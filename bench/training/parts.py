"""The parts of a training step, and what each of them takes: operations and bytes, counted, and seconds, measured.

Operations are those of products and convolutions, two a multiplication and addition. Bytes are of two kinds: what products and convolutions
alone read and write, which no fusion of kernels avoids, and what all operations read and write where each is a kernel of its own.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from vqcodec.nn.autoencoder.quantizer import VectorQuantizer
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.training import autoencoder
from vqcodec.training.crops import Crops
from vqcodec.training.muon import Muon
from vqcodec.training.online_priors import OnlinePriors
from vqcodec.training.optimizers import AveragedNetwork
from vqcodec.training.rate import ParallelRateDistortionChoice
from vqcodec.training.trainer import Trainer

OTHER: Final = "losses and the rest"
OPTIMIZERS: Final = "optimisers, averages of weights"
_CHOICE: Final = "choice of codes by their cost"
_PRIORS: Final = "priors, forward and backward"
_FUNCTIONS: Final[dict[str, tuple[tuple[Any, str], ...]]] = {
    "crops": ((Crops, "random"), (autoencoder, "to_tensor")),
    "encoder and decoder, forward": ((VQVAE, "forward"),),
    "encoder and decoder, backward": ((Trainer, "backward"),),
    "codebooks": ((VectorQuantizer, "nearest"), (VectorQuantizer, "forward"), (autoencoder.AutoencoderTrainer, "revive_dead_codes")),
    _CHOICE: ((ParallelRateDistortionChoice, "__call__"),),
    _PRIORS: ((OnlinePriors, "add_gradients"),),
    OPTIMIZERS: (
        (Muon, "step"),
        (torch.optim.AdamW, "step"),
        (AveragedNetwork, "update_parameters"),
        (nn.utils, "clip_grad_norm_"),
    ),
}
"""The functions that each part consists of."""
PARTS: Final = (*_FUNCTIONS, OTHER)
_WHOLE: Final = (_CHOICE, _PRIORS, OPTIMIZERS)
"""Parts to which everything that is called within them belongs."""
_NO_KERNELS: Final = (torch.ops.aten._unsafe_view, torch.ops.aten.empty, torch.ops.aten.empty_like, torch.ops.aten.new_empty)
"""Operations that neither read nor write."""


@dataclass
class Use:
    """What a part takes.

    Attributes:
        flops: number of operations of products and convolutions, by the type of number that they work on.
        product_bytes: bytes that these read and write.
        all_bytes: bytes that all operations read and write.
        seconds: time.
    """

    flops: dict[torch.dtype, int] = field(default_factory=lambda: defaultdict(int))
    product_bytes: int = 0
    all_bytes: int = 0
    seconds: float = 0.0


class Watch:
    """Knows which part of a step is under way, and the seconds of each.

    Args:
        now: clock that counts in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.uses = {part: Use() for part in PARTS}
        self._now = now
        self._under_way = [OTHER]
        self._since = now()

    @property
    def use(self) -> Use:
        """What the part that is under way has taken until now."""
        return self.uses[self._under_way[-1]]

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Counts what the block does towards a part, unless one is under way to which all within it belongs."""
        self._note()
        self._under_way.append(self._under_way[-1] if self._under_way[-1] in _WHOLE else part)
        try:
            yield
        finally:
            self._note()
            self._under_way.pop()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Lets the functions of all parts tell when they are called, as long as the block runs."""
        with ExitStack() as stack:
            for part, functions in _FUNCTIONS.items():
                for owner, name in functions:
                    stack.enter_context(patch.object(owner, name, self._told(part, getattr(owner, name))))
            self._since = self._now()
            yield
            self._note()

    def _told(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def told(*args: Any, **kwargs: Any) -> Any:
            with self.within(part):
                return function(*args, **kwargs)

        return told

    def _note(self) -> None:
        now = self._now()
        self.use.seconds += now - self._since
        self._since = now


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds the operations and bytes of all that torch does to the part of a watch that is under way."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watch = watch

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        result = func(*args, **options)
        if func.namespace != "aten" or func.is_view or func._overloadpacket in _NO_KERNELS:
            return result
        use = self._watch.use
        tensors = [leaf for leaf in tree_leaves([args, options, result]) if isinstance(leaf, Tensor)]
        moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        use.all_bytes += moved
        if count := flop_registry.get(func._overloadpacket):
            use.flops[tensors[0].dtype] += count(*args, **options, out_val=result)
            use.product_bytes += moved
        return result
