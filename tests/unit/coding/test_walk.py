"""Checks that a walk through many tiles at a time chooses the codes that one tile after another gets."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.coding.conftest import make_maps
from vqcodec.coding.prior import walk_map
from vqcodec.coding.streams import WALKED_TILES, first_tiles, groups_of_map
from vqcodec.coding.walk import Places, walk_in_batches
from vqcodec.nn.prior.pixelsnail import PixelSnail


def most_probable(_: Places, logits: Tensor) -> Tensor:
    """Chooses the codes with the largest logits, so that every code depends on all before it."""
    return logits.argmax(dim=1)


@pytest.mark.parametrize("number", [0, 1])
def test_pictures_walked_together_get_the_codes_that_they_get_alone(priors: list[PixelSnail], number: int) -> None:
    scale = number + 1
    sizes = [(scale * height, scale * width) for height, width in [(1, 1), (5, 40), (33, 3)]]
    earlier = [make_maps(height // scale, width // scale, seed)[:number] for seed, (height, width) in enumerate(sizes)]
    together = walk_map(priors[number], sizes, earlier, most_probable)
    alone = [walk_map(priors[number], [size], [maps], most_probable)[0] for size, maps in zip(sizes, earlier, strict=True)]
    assert [walked.indices.shape for walked in together] == sizes
    assert all(np.array_equal(one.indices, other.indices) for one, other in zip(together, alone, strict=True))
    assert len(np.unique(together[1].indices)) > 1


def test_batches_hold_whole_groups_and_number_tiles_through_all_of_them(priors: list[PixelSnail]) -> None:
    groups = [group for picture in range(WALKED_TILES // 4 + 1) for group in groups_of_map((33, 33), [], picture=picture)]
    assert first_tiles(groups[:2]).tolist() == [0, 4, 8]
    walked = walk_in_batches(priors[0], groups, lambda batch, first: lambda places, _: torch.full_like(places[0], first // WALKED_TILES))
    batches = [(len(batch), len(tiles), {int(code) for tile in tiles for code in tile.flat}) for batch, _, tiles in walked]
    assert batches == [(WALKED_TILES // 4, WALKED_TILES, {0}), (1, 4, {1})]


def test_codes_from_where_a_choice_ends_are_zero(priors: list[PixelSnail]) -> None:
    def first_row(places: Places, _: Tensor) -> Tensor | None:
        return torch.full_like(places[0], 3) if int(places[2].max()) < 4 and int(places[1].max()) == 0 else None

    (walked,) = walk_map(priors[0], [(1, 6)], [[]], first_row)
    assert walked.indices.tolist() == [[3, 3, 3, 3, 0, 0]]
