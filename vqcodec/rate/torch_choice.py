"""The choice of codes by cost on the way through a map, in torch: for priors that no compiled kernels take."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.coding.native import choose_natively
from vqcodec.coding.prior import walk_map
from vqcodec.coding.streams import Maps, WalkedMap
from vqcodec.coding.tiles import tile_places, tile_side
from vqcodec.coding.walk import Choosing
from vqcodec.nn.prior.choice import CANDIDATES, Choice
from vqcodec.nn.prior.compiled import native_prior_of
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import Places


def choose_by_torch_prior(
    prior: PixelSnail, rule: Choice, places: NDArray[np.float32], earlier: Sequence[Maps], *, with_streams: bool = False
) -> list[WalkedMap]:
    """Chooses the codes of the map of several pictures that a prior in torch is for: by the kernels all the same where they take it.

    Args:
        prior: the prior of the map.
        rule: how codes are chosen.
        places: float32 [N, h, w, D + 1] of each picture, vector and weight.
        earlier: the maps before it of each picture.
        with_streams: whether the codes are entropy-coded, too.
    """
    native = native_prior_of(prior)
    if native is not None:
        return choose_natively(native, rule, [*places], earlier, with_streams=with_streams)
    device = prior.device
    tensors = torch.tensor(rule.codebook).double(), torch.tensor(rule.half_weight, dtype=torch.float64), *_of_next_map(rule)
    shared = [tensor.to(device) for tensor in tensors]
    table = _by_tile(torch.from_numpy(places).to(device), prior.config.earlier_maps)
    choosing = Choosing(lambda *tensors: (_ChoiceInTorch(*tensors), tuple), shared, [table], name="chosen")
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        return walk_map(prior, [(places.shape[1], places.shape[2])] * len(places), earlier, choosing, with_streams=with_streams)


class _ChoiceInTorch:
    """A `ChooseStep` by a `Choice`, in torch.

    Costs are float64, so that no tie depends on the batch. The kernels compute the same in another order of operations, and so a choice
    between two codes could differ only if their costs did by less than one part in 2^45 or so.

    Args:
        codebook: float64 [K, D], those of the `Choice`.
        half_weight: float64 [], that of the `Choice`.
        next_codebook: float64 [K, D], of the next map; [0, D] where there is none.
        next_costs: float64 [K], what the bits of its codes cost at a place of weight 1.
        next_share: float64 [], what all its costs count.
        table: [N, side, side, D + 1], vector and weight of the places of each tile (`_by_tile`).
    """

    def __init__(
        self,
        codebook: Tensor,
        half_weight: Tensor,
        next_codebook: Tensor,
        next_costs: Tensor,
        next_share: Tensor,
        table: Tensor,
    ) -> None:
        self.codebook, self.half_weight = codebook, half_weight
        self.next_costs, self.next_share = next_costs, next_share
        self.next_half_square, self.next_transposed = 0.5 * next_codebook.square().sum(dim=1), next_codebook.t().contiguous()
        self.half_square, self.transposed = 0.5 * self.codebook.square().sum(dim=1), self.codebook.t().contiguous()
        self.row = table.shape[2]
        self.table = table.flatten(0, 2)

    def __call__(self, places: Places, logits: Tensor) -> Tensor:
        at = (places[0] * self.row + places[1]) * self.row + places[2]
        of_places = self.table.index_select(0, at).double()
        z, weights = of_places[:, :-1], of_places[:, -1:]
        # Probabilities of one place share their denominator, so logits decide as bits would.
        half_costs = torch.addmm(self.half_square, z, self.transposed, alpha=-1).sub_(logits.double() * (self.half_weight * weights))
        return self._cheapest(half_costs, z, weights)

    def _cheapest(self, half_costs: Tensor, z: Tensor, weights: Tensor) -> Tensor:
        """Returns the cheapest codes [P] by their costs [P, K], together with those of the next map where there is one."""
        if not len(self.next_half_square):
            return half_costs.argmin(dim=1)
        least, candidates = half_costs.topk(min(CANDIDATES, half_costs.shape[1]), dim=1, largest=False, sorted=True)
        offsets = self.next_half_square + self.next_costs * weights
        left = [z - self.codebook.index_select(0, codes) for codes in candidates.unbind(dim=1)]
        of_next = torch.stack([torch.addmm(offsets, vectors, self.next_transposed, alpha=-1).amin(dim=1) for vectors in left], dim=1)
        best = (least + self.next_share * of_next).argmin(dim=1, keepdim=True)
        return candidates.gather(1, best).squeeze(1)


def _of_next_map(rule: Choice) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the tensors of the next map that `_ChoiceInTorch` takes."""
    following = rule.next_map
    if following is None:
        codebook, logits, half_weight, share = np.zeros((0, rule.codebook.shape[1]), np.float32), np.zeros(0, np.int32), 0.0, 0.0
    else:
        codebook, logits, half_weight, share = following.codebook, following.logits, following.half_weight, following.share
    costs = torch.tensor(logits).double() * -half_weight
    return torch.tensor(codebook).double(), costs, torch.tensor(share, dtype=torch.float64)


def _by_tile(places: Tensor, number: int) -> Tensor:
    """Returns the places [N, h, w, ...] of map `number` tile by tile, [tiles, side, side, ...]."""
    n, height, width, numbers = places.shape
    side, of_tiles = min(tile_side(number), max(height, width)), tile_places(height, width, number)
    table = places.new_zeros(n, len(of_tiles), side, side, numbers)
    for tile, (rows, columns) in enumerate(of_tiles):
        table[:, tile, : rows.stop - rows.start, : columns.stop - columns.start] = places[:, rows, columns]
    return table.flatten(0, 1)
