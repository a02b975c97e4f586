"""Checks plans of walks against the order in which codes are coded."""

import numpy as np
import pytest
import torch

from vqcodec.coding.tiles import codes_of_steps, coding_order
from vqcodec.nn.prior.plan import plan_of


@pytest.mark.parametrize("slope", [1, 2])
@pytest.mark.parametrize("shapes", [((3, 5), (3, 5)), ((4, 2), (1, 6), (3, 3)), ((1, 1),)])
def test_steps_hold_the_codes_of_all_tiles_in_order(shapes: tuple[tuple[int, int], ...], slope: int) -> None:
    plan = plan_of(shapes, slope, torch.device("cpu"))
    seen: list[list[tuple[int, int]]] = [[] for _ in shapes]
    for step, counts in zip(plan.steps, codes_of_steps(shapes, slope), strict=True):
        tile, row, column = (place.numpy() for place in step.places)
        assert np.bincount(tile, minlength=len(shapes)).tolist() == counts.tolist() and (np.diff(tile) >= 0).all()
        for number, place in zip(tile, zip(row.tolist(), column.tolist(), strict=True), strict=True):
            seen[number].append(place)
        if step.own is not None and step.mask is not None:
            assert torch.equal(step.own, step.mask.nonzero()[:, 0]) and not plan.is_full
    for places, shape in zip(seen, shapes, strict=True):
        assert places == [(int(r), int(c)) for r, c in zip(*coding_order(*shape, slope), strict=True)]
    assert plan.valid.sum() == sum(height * width for height, width in shapes)
