"""Which decoder paints the pictures of a model, and what runs it. Imports torch or OpenVINO when one is chosen."""

from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.models.model import Model, checked_realism, load_decoder
from vqcodec.models.weights import misfits_told
from vqcodec.nn.autoencoder.painting import Painter
from vqcodec.nn.autoencoder.sketch import Sketcher
from vqcodec.nn.runtime import has_fast_runtime

if TYPE_CHECKING:
    from vqcodec.nn.autoencoder.openvino_painter import Graph

_LOADING: Final = Lock()
"""Lets one thread make a graph that others want, too."""


def load_painter(model: Model, realism: float) -> Painter:
    """Returns what paints a model's pictures with more or less invented detail; the arguments and errors are those of `load_decoder`."""
    realism = checked_realism(realism)
    if has_fast_runtime(model.device):
        from vqcodec.nn.autoencoder.openvino_painter import OpenvinoPainter

        shares = [share for share in (1 - realism, realism) if share]
        with _LOADING:
            graph = _graph(model, realism < 1, realism > 0)
        return OpenvinoPainter(model.codebooks, graph, shares)
    decoder = load_decoder(model, realism)
    import torch

    from vqcodec.nn.autoencoder.torch_painter import TorchPainter

    return TorchPainter(torch.from_numpy(model.codebooks).to(model.device), decoder)


def load_draft_painter(model: Model, condition: NDArray[np.float32] | None = None) -> Painter:
    """Returns what paints nearly what a model's own decoder paints, and faster where the model has ranges of activations in 8 bits.

    Pixels differ by less than a level for the most part, by several in few places. So files are never decoded by it.

    Args:
        model: the model.
        condition: what the encoder knows of the only image that is to be painted as a whole (`Seen.conditions`); None where nothing.
    """
    if has_fast_runtime(model.device):
        from vqcodec.nn.autoencoder.openvino_painter import OpenvinoPainter

        with _LOADING:
            has_ranges = bool(model.config.activation_ranges)
            graph = _draft_graph(model, is_conditioned=condition is not None) if has_ranges else _graph(model, True, False)
        return OpenvinoPainter(model.codebooks, graph, [1.0], condition)
    return load_painter(model, 0.0)


@lru_cache(maxsize=4)
def load_sketcher(model: Model) -> Sketcher:
    """Returns what sketches pictures as a model's own decoder would paint them; it is kept for the next call."""
    return Sketcher.of(load_painter(model, 0.0), model.codebooks[0], model.static_freqs[0])


@lru_cache(maxsize=6)
def _graph(model: Model, is_faithful: bool, is_perceptual: bool) -> "Graph":
    """Returns the graph of a decoder, or of both."""
    from vqcodec.nn.autoencoder.openvino_painter import Graph

    if not is_perceptual:
        with misfits_told(model.config.weights_path):
            return Graph([model.stored_decoder])
    stored = model.stored_perceptual_decoder
    with misfits_told(model.config.perceptual_path):
        perceptual = Graph([stored])
    return Graph([*_graph(model, True, False).decoders, stored]) if is_faithful else perceptual


@lru_cache(maxsize=4)
def _draft_graph(model: Model, *, is_conditioned: bool) -> "Graph":
    """Returns the graph of the model's own decoder with convolutions in 8 bits, where the condition is known or not."""
    from vqcodec.nn.autoencoder.openvino_painter import Graph

    with misfits_told(model.config.weights_path):
        decoder = replace(model.stored_decoder, activation_ranges=dict(model.config.activation_ranges))
        return Graph([decoder], first="conditioned" if is_conditioned else "whole")
