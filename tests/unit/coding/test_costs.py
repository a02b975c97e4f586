"""Checks the bits of codes against lengths of payloads, and code by code against frequencies that a parallel pass gives."""

import numpy as np
import pytest

from tests.unit.coding.conftest import make_maps
from vqcodec.coding.costs import code_bits
from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.coding.maps import MapCoding, code_map
from vqcodec.coding.prior import score_map
from vqcodec.coding.tiles import coding_order, tile_groups, tile_places
from vqcodec.format.container import CoderKind
from vqcodec.nn.prior.pixelsnail import PixelSnail

STATIC = freqs_from_counts(np.arange(16) + 1)


@pytest.mark.parametrize("kind", CoderKind)
@pytest.mark.parametrize("number", [0, 2])
def test_their_sum_is_the_length_of_the_payload(priors: list[PixelSnail], kind: CoderKind, number: int) -> None:
    maps = make_maps(70, 37)
    coding = MapCoding(number, STATIC, priors[number])
    bits = code_bits(coding, kind, maps[number], maps[:number])
    assert bits.shape == maps[number].shape and bits.dtype == np.float32
    (coded,) = code_map(coding, [maps[number]], [maps[:number]], coder=kind)
    num_streams = len(tile_groups(*bits.shape, number))
    assert -1 <= len(coded.payload) - bits.sum(dtype=np.float64) / 8 < 11 * num_streams


@pytest.mark.parametrize("in_torch", [False, True])
def test_every_code_under_a_prior_has_its_own(priors: list[PixelSnail], monkeypatch: pytest.MonkeyPatch, in_torch: bool) -> None:
    if in_torch:
        monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
    maps = make_maps(35, 37)[:2]
    bits = code_bits(MapCoding(1, STATIC, priors[1]), CoderKind.PRIOR, maps[1], maps[:1])
    for place, (codes, freqs) in zip(tile_places(*bits.shape, 1), score_map(priors[1], maps), strict=True):
        tile = bits[place]
        expected = 24 - np.log2(freqs[np.arange(len(codes)), codes])
        assert np.allclose(tile[coding_order(*tile.shape, priors[1].config.slope)], expected, atol=1e-4)
