"""Checks what a quality stands for on a dial."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.codec.loaded import open_model
from vqcodec.images.metrics import psnr_db
from vqcodec.models.config import ModelConfig, read_config
from vqcodec.models.dial import GAP_FACTOR, LAST_FACTOR, Dial, Jump, OperatingPoint
from vqcodec.models.registry import DEFAULT_MODEL, find_model
from vqcodec.rate.choice import max_single_rate_weight

DIAL = [OperatingPoint(1 + number // 25, float(100 - number)) for number in range(100)]


@pytest.fixture
def config(models_root: Path) -> ModelConfig:
    """Returns the config of a model without a dial."""
    return read_config(models_root / "small-test")


def test_a_model_without_a_dial_shares_the_scale_among_its_maps(config: ModelConfig) -> None:
    dial = config.dial("iq")
    points = [dial.at(quality) for quality in (1, 25, 26, 50, 51, 75, 76, 100)]
    assert points == [OperatingPoint(maps, 0.0) for maps in (1, 1, 2, 2, 3, 3, 4, 4)]
    for bad in (0.99, 100.5, math.nan):
        with pytest.raises(ValueError, match=r"quality must be in 1\.\.100"):
            dial.at(bad)


def test_a_dial_is_read_and_interpolated(config: ModelConfig) -> None:
    dial = replace(config, faithful_dial=Dial(tuple(DIAL))).dial("psnr")
    assert dial.at(1) == DIAL[0] and dial.at(100) == DIAL[99]
    between = dial.at(3.5)
    assert between.num_maps == 1 and between.rate_weight == pytest.approx(math.sqrt(98 * 97))
    before = dial.at(25.2)
    assert before.num_maps == 1 and before.rate_weight == pytest.approx(DIAL[24].rate_weight ** 0.8 * DIAL[25].rate_weight ** 0.2)
    gap = [dial.at(quality) for quality in (25.25, 25.625, 26)]
    assert [point.num_maps for point in gap] == [2, 2, 2] and gap[2] == DIAL[25]
    assert [point.rate_weight / DIAL[25].rate_weight for point in gap] == pytest.approx([GAP_FACTOR, GAP_FACTOR**0.5, 1])


def test_every_quality_of_a_shipped_dial_is_a_file_of_its_own() -> None:
    shipped = find_model(DEFAULT_MODEL)
    for dial in (shipped.faithful_dial, shipped.perceptual_dial):
        assert dial is not None and len(dial.points) == 100
        for below, above in pairwise(dial.points):
            assert below.num_maps < above.num_maps or (below.num_maps == above.num_maps and below.rate_weight > above.rate_weight)
        assert all(point.num_maps > 1 or point.rate_weight < 1.001 * max_single_rate_weight(shipped) for point in dial.points)


def test_a_dial_rises_with_every_part_of_a_quality() -> None:
    """Checks that more maps never come with fewer bits than the maps alone had, and that lambda falls wherever maps stay."""
    shipped = find_model(DEFAULT_MODEL)
    for dial in (shipped.faithful_dial, shipped.perceptual_dial):
        assert dial is not None and dial.jump is not None
        points = [(quality / 64, dial.at(quality / 64)) for quality in range(64, 6401)]
        for (_, below), (quality, above) in pairwise(points):
            if below.num_maps == above.num_maps:
                assert above.rate_weight < below.rate_weight, quality
            elif quality == dial.jump.after:
                assert (below.num_maps, above.num_maps) == (1, 2)
            else:
                assert above.num_maps == below.num_maps + 1 and quality == int(quality)
                whole = dial.at(quality - 1).rate_weight
                assert below.rate_weight >= above.rate_weight or whole / LAST_FACTOR <= below.rate_weight < whole <= above.rate_weight


@pytest.mark.slow
def test_files_and_psnr_rise_between_whole_qualities(photo: NDArray[np.uint8]) -> None:
    codec, picture = open_model(), photo[:256, :384]
    for around in (7, 50, 64):
        sizes, psnrs = [], []
        for quality in (around - 0.5, around, around + 0.25, around + 0.75, around + 1):
            data = codec.encode(picture, quality=quality, layers=False)
            sizes.append(len(data))
            psnrs.append(psnr_db(picture, np.asarray(codec.decode(data))))
        assert all(later >= earlier - 2 for earlier, later in pairwise(sizes)) and sizes[-1] > sizes[0]
        assert all(later > earlier - 0.05 for earlier, later in pairwise(psnrs)) and psnrs[-1] > psnrs[0]


def test_the_jump_of_a_dial(config: ModelConfig) -> None:
    dialled = replace(config, faithful_dial=Dial(tuple(DIAL)), perceptual_dial=Dial(tuple(DIAL[10:] + DIAL[-10:])))
    assert dialled.dial("iq").jump == Jump(25, 25.25, 26) and dialled.dial("perceptual").jump == Jump(15, 15.25, 16)
    assert Dial((DIAL[0],) * 100).jump is None
    assert [dialled.dial("iq").at(quality).num_maps for quality in (25, 25.25)] == [1, 2]
