"""Functions of tensors as CUDA graphs: a device works through thousands of small operations without the CPU, which launches them as one.

A graph fits one key alone: whatever decides its operations and the shapes of its tensors. So a key's first call runs plainly, which also
prepares what may not happen while a graph is captured, and its second one is captured. All graphs share the memory of what they compute on
the way, since one runs after the other, on the default stream, and its outputs are copied before the next one.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]
"""Function of tensors that waits for none of their values."""

_KEPT_GRAPHS: Final = 8
_KEPT_KEYS: Final = 256


@cache
def _pool(device: torch.device) -> Any:
    """Returns the memory that the graphs of a device share."""
    with torch.cuda.device(device):
        return torch.cuda.graph_pool_handle()


@dataclass(frozen=True)
class _Captured:
    """A function as a graph, with the tensors that it reads and writes; the function keeps alive what else it reads."""

    function: Function
    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, function: Function, inputs: Sequence[Tensor]) -> "_Captured":
        graph, kept = torch.cuda.CUDAGraph(), [tensor.clone() for tensor in inputs]
        with torch.cuda.device(kept[0].device), torch.cuda.graph(graph, _pool(kept[0].device), capture_error_mode="thread_local"):
            outputs = function(*kept)
        return cls(function, graph, kept, outputs)

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        for kept, given in zip(self.inputs, inputs, strict=True):
            kept.copy_(given)
        self.graph.replay()
        return tuple(output.clone() for output in self.outputs)


@dataclass
class _Graphs:
    """The graphs of a process, and the keys that were called, those of the last calls last."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: OrderedDict[Hashable, _Captured] = field(default_factory=OrderedDict)
    called: OrderedDict[Hashable, None] = field(default_factory=OrderedDict)

    def run(self, key: Hashable, function: Function, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if key not in self.called:
            self.called[key] = None
            if len(self.called) > _KEPT_KEYS:
                self.called.popitem(last=False)
            return function(*inputs)
        if key not in self.kept:
            try:
                self.kept[key] = _Captured.of(function, inputs)
            except torch.OutOfMemoryError:
                self.kept.clear()
                torch.cuda.empty_cache()
                return function(*inputs)
            if len(self.kept) > _KEPT_GRAPHS:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key](inputs)


_graphs: Final = _Graphs()


def run(key: Hashable, function: Function, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Returns what a function gives for tensors: on CUDA by a graph from the second call with a key on, elsewhere by a plain call.

    Args:
        key: what decides the operations, beside the shapes of the inputs.
        function: the function. It returns new tensors, and what it reads beside its inputs is the same for equal keys.
        inputs: tensors on one device.
    """
    if inputs[0].device.type != "cuda":
        return function(*inputs)
    of_call = key, *((tuple(tensor.shape), tensor.dtype, tensor.device) for tensor in inputs)
    with _graphs.lock:
        return _graphs.run(of_call, function, inputs)
