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

EXACT: Final = Arithmetic.EXACT


class Wavefront:
    """A walk over a batch of tiles.

    Args:
        prior: the prior, with parameters rounded to their formats.
        earlier: the maps before this one, int64 [N, h/2, w/2] and then [N, h, w] each.
        valid: [N, h, w] bool, where tiles hold codes.
    """

    def __init__(self, prior: PixelSnail, earlier: list[Tensor], valid: Tensor) -> None:
        self.prior = prior
        self.valid = valid
        n, self.height, self.width = valid.shape
        self.is_full = bool(valid.all())
        slope = prior.config.slope
        self.num_steps = self.width + slope * (self.height - 1)
        rows, columns = torch.arange(self.height, device=valid.device), torch.arange(self.width, device=valid.device)
        self.step_of_cell = (columns + slope * rows[:, None]).expand(n, -1, -1).flatten()
        self.vectors = embedded(prior.embedding, torch.arange(prior.config.codebook_size, device=valid.device), EXACT)
        self.codes = ColumnCache(prior.first, n, self.height)
        self.layers = [ColumnCache(block.conv, n, self.height) for block in prior.gated_blocks]
        self.biases = torch.cat([layer.weight.bias for layer in self.layers])
        self.projections = [block.project.exact_weight for block in prior.gated_blocks]
        self.attention = prior.attention
        if self.attention is not None:
            self.cache = KeyValueCache(self.attention, valid)
            self.positions = self.attention.positions(self.height, self.width, EXACT).flatten(0, 1).repeat(n, 1)
        self.condition: Tensor | None = None
        if prior.condition is not None:
            self.condition_weight = ExactWeight.side_by_side(
                [block.condition.exact_weight for block in prior.gated_blocks if block.condition is not None]
            )
            mask = valid[..., None].to(prior.head.weight.dtype)
            self.condition = prior.condition(earlier, mask, EXACT).to(self.condition_weight.dtype).flatten(0, 2)

    def _by_step(self, cells: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """Splits values of cells, which are sorted by step, into one tensor a step."""
        return torch.split(values, self.step_of_cell[cells].bincount(minlength=self.num_steps).tolist())

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yields tile, row and column, int64 [P] each, of every step's codes, tile by tile, row by row.

        Call `logits` and then `push` between one step and the next.
        """
        slope, sorted_cells = self.prior.config.slope, self.step_of_cell.argsort(stable=True)
        own = sorted_cells[self.valid.flatten()[sorted_cells]]
        places = own // (self.height * self.width), own // self.width % self.height, own % self.width
        of_steps = (self._by_step(own, part) for part in places)
        for step, (cells, *at) in enumerate(zip(self._by_step(sorted_cells, sorted_cells), *of_steps, strict=True)):
            self.rows = slice(max(0, -(-(step - self.width + 1) // slope)), min(self.height - 1, step // slope) + 1)
            self.cells = cells
            self.mask = None if self.is_full else self.valid.take(cells)
            yield at[0], at[1], at[2]

    def logits(self) -> Tensor:
        """Returns the logits [P, K] of this step's codes, integers in sixteenths of an octave, in the order that they were yielded in."""
        positions = None if self.attention is None else self.positions.index_select(0, self.cells)
        x = to_stream(self.codes.weight.sums(self.codes.taps(self.rows), positions), EXACT)
        for number, (layer, projection, start) in enumerate(zip(self.layers, self.projections, self._starts(), strict=True)):
            if self.attention is not None and number == self.prior.config.attention_before:
                x = to_stream(self.attention.project.exact_weight.sums(self.cache.means(x, self.mask), x), EXACT)
            inputs = to_activations(x, EXACT)
            layer.push(inputs if self.mask is None else inputs * self.mask[:, None], self.rows)
            hidden = gate(layer.weight.sums_onto(start, layer.taps(self.rows)), EXACT)
            x = to_stream(projection.sums(hidden, x), EXACT)
        x = x if self.mask is None else x[self.mask]
        return to_logits(self.prior.head.exact_weight.sums(to_activations(x, EXACT)), EXACT)

    def _starts(self) -> Sequence[Tensor]:
        """Returns the starts of the sums of each block's convolution: its bias, and the condition's stream where there is one."""
        if self.condition is None:
            return self.biases.chunk(len(self.layers))
        streams = to_stream(self.condition_weight.sums(self.condition.index_select(0, self.cells)), EXACT)
        torch.add(self.biases, streams, alpha=self.layers[0].weight.scale, out=streams)
        return streams.chunk(len(self.layers), dim=-1)

    def push(self, codes: Tensor) -> None:
        """Tells the walk the codes [P] of this step, in the order that they were yielded in."""
        vectors = self.vectors.index_select(0, codes)
        if self.mask is not None:
            spread = vectors.new_zeros(len(self.cells), vectors.shape[1])
            spread[self.mask] = vectors
            vectors = spread
        self.codes.push(vectors, self.rows)
