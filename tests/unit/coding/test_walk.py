"""Checks that a walk through many tiles at a time chooses the codes that one tile after another gets."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.coding.conftest import make_maps
from vqcodec.coding.prior import walk_map
from vqcodec.coding.streams import WALKED_TILES, batches_of_groups, first_tiles, groups_of_map
from vqcodec.coding.tiles import cut_tiles
from vqcodec.coding.walk import Choosing, most_tiles
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import Places


def most_probable(_: Places, logits: Tensor) -> Tensor:
    """Chooses the codes with the largest logits, so that every code depends on all before it."""
    return logits.argmax(dim=1)


@pytest.mark.parametrize("number", [0, 1])
def test_pictures_walked_together_get_the_codes_that_they_get_alone(priors: list[PixelSnail], number: int) -> None:
    scale = number + 1
    sizes = [(scale * height, scale * width) for height, width in [(1, 1), (5, 40), (33, 3)]]
    earlier = [make_maps(height // scale, width // scale, seed)[:number] for seed, (height, width) in enumerate(sizes)]
    together = walk_map(priors[number], sizes, earlier, Choosing.by(most_probable))
    alone = [walk_map(priors[number], [size], [maps], Choosing.by(most_probable))[0] for size, maps in zip(sizes, earlier, strict=True)]
    assert [walked.indices.shape for walked in together] == sizes
    assert all(np.array_equal(one.indices, other.indices) for one, other in zip(together, alone, strict=True))
    assert len(np.unique(together[1].indices)) > 1


def test_batches_hold_whole_groups(priors: list[PixelSnail]) -> None:
    groups = [group for picture in range(WALKED_TILES // 4 + 1) for group in groups_of_map((33, 33), [], picture=picture)]
    assert first_tiles(groups[:2]).tolist() == [0, 4, 8]
    assert [len(batch) for batch in batches_of_groups(groups)] == [WALKED_TILES // 4, 1]
    assert [len(batch) for batch in batches_of_groups(groups, 9)] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("name", ["numbers", None])
def test_choices_are_given_their_own_tiles(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, name: str | None) -> None:
    """Pictures of four tiles, two of which are walked together."""
    monkeypatch.setattr("vqcodec.coding.streams.WALKED_TILES", 8)
    numbers = torch.arange(12)
    choosing = Choosing(lambda factor, own: (lambda places, _: factor * own[places[0]], tuple), [torch.tensor(1)], [numbers], name)
    walked = walk_map(priors[0], [(33, 33)] * 3, [[]] * 3, choosing)
    for picture, of_picture in enumerate(walked):
        assert [set(tile.flat) for tile in cut_tiles(of_picture.indices, 0)] == [{4 * picture + tile} for tile in range(4)]


def test_codes_from_where_a_choice_ends_are_zero(priors: list[PixelSnail]) -> None:
    def first_row(places: Places, _: Tensor) -> Tensor | None:
        return torch.full_like(places[0], 3) if int(places[2].max()) < 4 and int(places[1].max()) == 0 else None

    (walked,) = walk_map(priors[0], [(1, 6)], [[]], Choosing.by(first_row))
    assert walked.indices.tolist() == [[3, 3, 3, 3, 0, 0]]


def test_more_tiles_are_walked_together_where_a_gpu_has_more_memory(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch) -> None:
    assert most_tiles(priors[0]) is None
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 0)
    tiles = []
    for mib in (1, 64, 256, 1 << 20):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, mib=mib: (mib << 20, 1 << 40))
        on_gpu: Any = SimpleNamespace(device=torch.device("cuda"), config=priors[1].config)
        tiles.append(most_tiles(on_gpu))
    assert tiles[0] == 1 and tiles[2] == pytest.approx(4 * tiles[1], abs=4) and tiles[3] == 1024
