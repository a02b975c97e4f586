"""Step-by-step inference of a prior, which gives the logits of one step's codes at a time, for all tiles at once.

Every layer keeps the few columns of its input that a step can still reach; attention keeps all keys and values. A step is one small matrix
product a layer. The arithmetic is that of `PixelSnail.forward`, and exact: both give the same bits.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import torch
from torch import Tensor

from vqcodec.nn.prior.caches import ColumnCache, KeyValueCache
from vqcodec.nn.prior.fixed_layers import ExactWeight
from vqcodec.nn.prior.fixed_point import Arithmetic, gate, to_activations, to_logits, to_stream
from vqcodec.nn.prior.pixelsnail import PixelSnail, embedded
from vqcodec.nn.prior.plan import Places, Plan

EXACT: Final = Arithmetic.EXACT


class Wavefront:
    """A walk over a batch of tiles. No operation has a shape that values decide, so that a device need not wait for the CPU.

    Args:
        prior: the prior, with parameters rounded to their formats.
        earlier: the maps before this one, int64 [N, h/2, w/2] and then [N, h, w] each.
        plan: the plan of the walk, on the prior's device, with its slope.
    """

    def __init__(self, prior: PixelSnail, earlier: Sequence[Tensor], plan: Plan) -> None:
        self.prior = prior
        self.plan = plan
        n, height, width = plan.size
        self.vectors = embedded(prior.embedding, torch.arange(prior.config.codebook_size, device=prior.device), EXACT)
        self.codes = ColumnCache(prior.first, n, height)
        self.layers = [ColumnCache(block.conv, n, height) for block in prior.gated_blocks]
        self.biases = torch.cat([layer.weight.bias for layer in self.layers])
        self.projections = [block.project.exact_weight for block in prior.gated_blocks]
        self.attention = prior.attention
        if self.attention is not None:
            self.cache = KeyValueCache(self.attention, plan)
            self.positions = self.attention.positions(height, width, EXACT).flatten(0, 1).repeat(n, 1)
        self.condition: Tensor | None = None
        if prior.condition is not None:
            self.condition_weight = ExactWeight.side_by_side(
                [block.condition.exact_weight for block in prior.gated_blocks if block.condition is not None]
            )
            mask = plan.valid[..., None].to(prior.head.weight.dtype)
            self.condition = prior.condition(list(earlier), mask, EXACT).to(self.condition_weight.dtype).flatten(0, 2)

    def __iter__(self) -> Iterator[Places]:
        """Yields the places of every step's codes.

        Call `logits` and then `push` between one step and the next.
        """
        for step in self.plan.steps:
            self.step = step
            yield step.places

    def logits(self) -> Tensor:
        """Returns the logits [P, K] of this step's codes, integers in sixteenths of an octave, in the order that they were yielded in."""
        rows, mask = self.step.rows, self.step.mask
        positions = None if self.attention is None else self.positions.index_select(0, self.step.cells)
        x = to_stream(self.codes.weight.sums(self.codes.taps(rows), positions), EXACT)
        for number, (layer, projection, start) in enumerate(zip(self.layers, self.projections, self._starts(), strict=True)):
            if self.attention is not None and number == self.prior.config.attention_before:
                x = to_stream(self.attention.project.exact_weight.sums(self.cache.means(x, mask), x), EXACT)
            inputs = to_activations(x, EXACT)
            layer.push(inputs if mask is None else inputs * mask[:, None], rows)
            hidden = gate(layer.weight.sums_onto(start, layer.taps(rows)), EXACT)
            x = to_stream(projection.sums(hidden, x), EXACT)
        x = x if self.step.own is None else x.index_select(0, self.step.own)
        return to_logits(self.prior.head.exact_weight.sums(to_activations(x, EXACT)), EXACT, self.prior.sharpness)

    def _starts(self) -> Sequence[Tensor]:
        """Returns the starts of the sums of each block's convolution: its bias, and the condition's stream where there is one."""
        if self.condition is None:
            return self.biases.chunk(len(self.layers))
        streams = to_stream(self.condition_weight.sums(self.condition.index_select(0, self.step.cells)), EXACT)
        torch.add(self.biases, streams, alpha=self.layers[0].weight.scale, out=streams)
        return streams.chunk(len(self.layers), dim=-1)

    def push(self, codes: Tensor) -> None:
        """Tells the walk the codes [P] of this step, in the order that they were yielded in."""
        vectors = self.vectors.index_select(0, codes)
        if self.step.own is not None:
            spread = vectors.new_zeros(len(self.step.cells), vectors.shape[1])
            vectors = spread.index_copy_(0, self.step.own, vectors)
        self.codes.push(vectors, self.step.rows)
