"""Checks that codes are drawn from priors reproducibly, by their probabilities, and by the same walk as in decoding."""

from dataclasses import replace

import numpy as np
import pytest

import vqcodec
from tests.conftest import make_picture
from vqcodec.codec.loaded import Codec
from vqcodec.coding.frequencies import TOTAL
from vqcodec.coding.prior import score_map
from vqcodec.coding.sampling import Sampler, fill_maps
from vqcodec.decoding.files import decode_file, fill_missing
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.errors import LimitExceededError, ModelError
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model


@pytest.fixture
def model(small_model: str) -> Model:
    return load_model(small_model, device="cpu")


def test_codes_are_drawn_by_their_probabilities() -> None:
    logits = np.tile(np.array([[32, 16, 0, -2000]]), (20_000, 1))
    counts = np.bincount(Sampler().draw(logits, np.random.default_rng(0)), minlength=4) / len(logits)
    assert counts == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0], abs=0.02)
    hot = np.bincount(Sampler(temperature=2.0).draw(logits, np.random.default_rng(0)), minlength=4) / len(logits)
    assert hot == pytest.approx(np.array([2, 2**0.5, 1, 0]) / (3 + 2**0.5), abs=0.02)
    top = Sampler(top_k=2).draw(logits, np.random.default_rng(0))
    assert set(top.tolist()) == {0, 1}
    for bad in ({"temperature": 0.0}, {"top_k": 0}):
        with pytest.raises(ValueError, match="must be"):
            Sampler(**bad)  # type: ignore[arg-type]


def test_a_seed_gives_the_same_pictures(model: Model) -> None:
    codec = Codec(model)
    first, again = (codec.sample(3, size=(40, 24), seed=5) for _ in range(2))
    other = codec.sample(3, size=(40, 24), seed=6)
    assert first == again and first[0] != other[0]
    assert first[0].size == (40, 24) and first[0] != first[1]
    assert codec.sample(1, size=(40, 24), num_maps=1)[0].size == (40, 24)
    with pytest.raises(ModelError, match="5 maps were asked for"):
        codec.sample(1, size=(8, 8), num_maps=5)
    with pytest.raises(ValueError, match="at least 1"):
        codec.sample(0, size=(8, 8))


def test_a_seed_gives_the_same_codes_whatever_a_device_walks_together(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for most in (None, 3):
        monkeypatch.setattr("vqcodec.coding.prior.most_tiles", lambda _, most=most: most)
        monkeypatch.setattr("vqcodec.coding.prior.native_prior_of", lambda _: None)
        drawn.append(fill_maps(model.torch_codings, [[]] * 5, [(8, 8)] * 5, 2, "sample", Sampler(seed=3)))
    assert all(np.array_equal(one, other) for maps, others in zip(*drawn, strict=True) for one, other in zip(maps, others, strict=True))


def test_the_mode_is_the_most_probable_code_given_those_before(model: Model) -> None:
    (maps,) = fill_maps(model.codings, [[]], [(5, 36)], 2, "mode", Sampler())
    for number in (0, 1):
        for codes, freqs in score_map(model.priors[number], maps[: number + 1]):
            assert np.array_equal(freqs[np.arange(len(codes)), codes], freqs.max(axis=1))


@pytest.mark.parametrize("temperature", [1e-300, 1e-4, 1.0, 1e300])
def test_top_k_leaves_nothing_else(temperature: float) -> None:
    logits = np.tile(np.array([[-300, -200, -200, -201]]), (2000, 1))
    drawn = Sampler(top_k=1, temperature=temperature).draw(logits, np.random.default_rng(0))
    assert (drawn == 1).all()
    two = np.bincount(Sampler(top_k=2, temperature=temperature).draw(logits, np.random.default_rng(0)), minlength=4)
    assert two[0] == two[3] == 0 and min(two[1], two[2]) > 850


def test_a_draw_is_the_code_whose_range_it_falls_into() -> None:
    logits = np.zeros((4, 4), np.int64)
    quarter = TOTAL // 4

    class Draws:
        def integers(self, high: np.ndarray) -> np.ndarray:
            assert (high == TOTAL).all()
            return np.array([[0], [quarter - 1], [quarter], [TOTAL - 1]])

    assert Sampler().draw(logits, Draws()).tolist() == [0, 0, 1, 3]


def test_too_many_pixels(model: Model) -> None:
    with pytest.raises(LimitExceededError, match="at most 134217728"):
        Codec(model).sample(1024, size=(4096, 4096))
    with pytest.raises(LimitExceededError, match="pictures of 8x1048584 are too large, expected sides of at most 1048576"):
        Codec(model).sample(1, size=(8, 2**20 + 8))


def test_missing_maps_are_filled_and_known_ones_kept(small_model: str, model: Model) -> None:
    data = vqcodec.encode(make_picture(90, 60), model=small_model, quality=50)
    decoded = decode_file(data, device="cpu")
    filled = fill_missing(decoded, "sample", seed=1)
    assert len(decoded.indices) == 2 and len(filled.indices) == 4
    assert all(map(np.array_equal, decoded.indices, filled.indices))
    assert [indices.shape for indices in filled.indices] == [(8, 12), (16, 24), (16, 24), (16, 24)]
    whole = decode_file(vqcodec.encode(make_picture(90, 60), model=small_model, quality=100), device="cpu")
    assert fill_missing(whole, "mode") is whole


def test_a_model_without_priors_says_so(model: Model) -> None:
    bare = replace(model)
    vars(bare)["priors"] = ()
    vars(bare)["codings"] = bare.torch_codings
    with pytest.raises(ModelError, match="no prior for map top"):
        Codec(bare).sample(1, size=(8, 8))
    with pytest.raises(ModelError, match="no prior for map top"):
        encode_pictures([Picture(make_picture(8, 8))], bare, point=OperatingPoint(2, 0.0), coder=CoderKind.PRIOR)
