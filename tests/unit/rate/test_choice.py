"""Codes chosen by rate and distortion: the choice is the minimum that it claims to be, and files get smaller by it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import vqcodec
from tests.conftest import make_picture
from vqcodec.coding.maps import MapCoding
from vqcodec.coding.prior import code_by_prior
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import EncodedFile, write_file
from vqcodec.format.container import CoderKind, read_header
from vqcodec.images.picture import Picture
from vqcodec.models.config import TOP_MAX_RATE_WEIGHT, read_config
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import Model, load_model
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.codebooks import nearest
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate.choice import MAP_FACTORS, NEXT_SHARE, RateDistortionChoice, place_weights, sharpness

WEIGHT = 0.05


@pytest.fixture(scope="module")
def model(models_root: Path) -> Model:
    return load_model(read_config(models_root / "small-test"), "cpu")


@pytest.fixture(scope="module")
def codings(model: Model) -> list[MapCoding]:
    return [MapCoding(n, freqs, prior) for n, (freqs, prior) in enumerate(zip(model.static_freqs, model.priors, strict=True))]


def _costs(
    model: Model, number: int, residual: NDArray[np.float32], bits: NDArray[np.generic], weight: float = WEIGHT
) -> NDArray[np.float64]:
    """Returns ||z_e - e_k||^2 + the map's factor * lambda * bits of every code, [N, h, w, K], by the formula."""
    differences = residual[..., None, :].astype(np.float64) - model.codebooks[number]
    return np.asarray(np.square(differences).sum(axis=-1) + MAP_FACTORS[number] * weight * bits)


def _normal(seed: int, *shape: int) -> NDArray[np.float32]:
    """Returns normal numbers of a standard deviation of 0.3."""
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def _prior(model: Model, number: int, weight: float = WEIGHT) -> PixelSnail:
    """Returns the prior of a map, sharpened as for choices at this lambda."""
    return model.priors[number].sharpened(sharpness(number, MAP_FACTORS[number] * weight))


def _logits(prior: PixelSnail, codes: NDArray[np.int64], before: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Returns the logits of a tile in octaves, in one pass, [N, h, w, K]."""
    tensors = [torch.from_numpy(np.ascontiguousarray(maps)) for maps in (codes, *before)]
    return prior(tensors[0], tensors[1:], Arithmetic.EXACT).double().numpy() / 16


@pytest.mark.parametrize(("number", "weight"), [(0, WEIGHT), (1, WEIGHT), (1, 60 * WEIGHT)])
def test_each_code_is_the_cheapest_given_those_before(model: Model, codings: list[MapCoding], number: int, weight: float) -> None:
    """Two pictures of 3 tiles each: the prior's logits of the chosen maps, in one pass, give the costs that each choice was made by."""
    rng = np.random.default_rng(3)
    height, width = (4, 80) if number == 0 else (8, 160)
    earlier = [rng.integers(16, size=(2, 4, 80))][:number]
    residual, codebook = _normal(3, 2, height, width, 4) * np.float32((weight / WEIGHT) ** 0.5), model.codebooks[number]
    pixels = (rng.integers(256, size=(2, 32, 640, 3)) // np.arange(1, 641)[:, None]).astype(np.uint8)
    result = RateDistortionChoice(codings, weight, weights=place_weights(pixels))(codebook, residual, earlier)
    assert result.sharpness == (18 if weight > WEIGHT else 16)
    chosen = result.indices
    weights = place_weights(pixels).repeat(height // 4, axis=1).repeat(height // 4, axis=2)
    side = 32 if number == 0 else 64
    changed = 0
    for left in range(0, width, side):
        tile = slice(left, left + side)
        before = [indices[..., left // 2 : (left + side) // 2] for indices in earlier]
        logits = _logits(_prior(model, number, weight), chosen[..., tile], before)
        bits = np.log2(np.exp2(logits).sum(axis=-1, keepdims=True)) - logits
        costs = _costs(model, number, residual[:, :, tile], weights[..., tile, None] * bits, weight)
        least = np.take_along_axis(costs, chosen[..., tile, None], axis=3)[..., 0]
        assert float((least - costs.min(axis=3)).max()) < 1e-4
        changed += int((chosen[..., tile] != nearest(codebook, residual[:, :, tile])).sum())
    assert changed > 20


def test_each_code_is_the_cheapest_with_the_code_after_it(model: Model, codings: list[MapCoding]) -> None:
    """Of the four that are cheapest by themselves, by the formula; the guess of what the next code costs is that of the static coder."""
    rng = np.random.default_rng(5)
    earlier = [rng.integers(16, size=(1, 4, 32))]
    residual, (_, codebook, following, _) = _normal(5, 1, 8, 64, 4) * 2, model.codebooks
    chosen = RateDistortionChoice(codings, WEIGHT)(codebook, residual, earlier, following).indices
    logits = _logits(_prior(model, 1), chosen, earlier)
    costs = _costs(model, 1, residual, np.log2(np.exp2(logits).sum(axis=-1, keepdims=True)) - logits)
    left = residual[..., None, :] - codebook
    bits = np.rint(-16 * np.log2(codings[2].static_freqs / codings[2].static_freqs.sum())) / 16
    of_next = np.square(left[..., None, :] - following).sum(axis=-1) + MAP_FACTORS[2] * WEIGHT * bits
    with_next = costs + NEXT_SHARE * (of_next.min(axis=-1) - np.square(left).sum(axis=-1))
    with_next[costs > np.sort(costs, axis=-1)[..., 3:4]] = np.inf
    least = np.take_along_axis(with_next, chosen[..., None], axis=3)[..., 0]
    assert float((least - with_next.min(axis=3)).max()) < 1e-4
    assert (chosen != costs.argmin(axis=3)).sum() > 20


def test_priors_are_sharper_where_bits_are_dear() -> None:
    assert [sharpness(1, weight) for weight in (0.0, 0.4, 0.7, 1.4, 3.4, 6.4, 1e6)] == [16, 16, 17, 18, 22, 28, 40]
    assert sharpness(0, 1e6) == 16


def test_sharpened_priors_bring_pictures_closer(monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]) -> None:
    """At low rates, a smaller lambda and sharper priors give better pictures for as many bytes."""
    part = photo[:256, :256]
    sharp, error = _file_and_error(part, num_maps=2, rate_weight=7.2, layers=False)
    monkeypatch.setattr("vqcodec.rate.choice._MAX_SHARPNESS", 16)
    plain, error_before = _file_and_error(part, num_maps=2, rate_weight=10.7, layers=False)
    assert error < 0.97 * error_before and len(sharp) < 1.02 * len(plain)


def test_looking_at_the_next_map_brings_pictures_closer(monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]) -> None:
    """By 0.17 dB for as many bytes."""
    part = photo[:256, :256]
    data, error = _file_and_error(part, quality=95)
    monkeypatch.setattr("vqcodec.rate.choice.NEXT_SHARE", 0.0)
    data_before, error_before = _file_and_error(part, quality=95)
    assert error < 0.98 * error_before and len(data) < 1.01 * len(data_before)


def _file_and_error(picture: NDArray[np.uint8], **options: Any) -> tuple[bytes, float]:
    """Returns the file of a picture and its mean squared error."""
    data = vqcodec.encode(picture, **options)
    return data, float(np.square(np.asarray(vqcodec.decode(data)) - picture.astype(np.float64)).mean())


def test_lambda_grows_with_the_variance_around() -> None:
    """Flat, chequered by 0 and 32 (a variance of 256), and flat again; the places beside the middle see a third of its variance."""
    chequered = 32 * (np.indices((8, 8)).sum(axis=0) % 2)
    row = np.hstack([np.full((8, 16), 200), chequered, np.zeros((8, 16))])
    weights = place_weights(np.tile(row[None, :, :, None], (1, 2, 1, 3)).astype(np.uint8))
    expected = ((np.array([0, 256 / 3, 256 / 3, 256 / 3, 0]) + 16) / 216) ** (1 / 3)
    assert weights.shape == (1, 2, 5)
    assert np.allclose(weights[0], expected, rtol=1e-6)


def test_place_weights_depend_on_their_own_picture_alone() -> None:
    pixels = np.stack([make_picture(72, 1032, seed) for seed in range(3)])
    weights = place_weights(pixels)
    assert weights.shape == (3, 129, 9)
    assert all(np.array_equal(place_weights(pixels[number : number + 1])[0], weights[number]) for number in range(3))


def test_encode_weighs_bits_by_the_detail_around(model: Model) -> None:
    rng = np.random.default_rng(0)
    picture = np.full((64, 128, 3), 128, np.uint8)
    picture[:, 64:] = rng.integers(256, size=(64, 64, 3))
    picture[:, :64] += rng.integers(4, size=(64, 64, 3), dtype=np.uint8)
    (encoded,) = encode_pictures([Picture(picture)], model, point=OperatingPoint(2, 1.0))
    pixels = picture[None]
    choices = [RateDistortionChoice(model.codings, 1.0, weights=known) for known in (place_weights(pixels), None)]
    by_place, alike = (
        [chosen.indices for chosen in encode_in_blocks(load_encoder(model), pixels, 2, choose_at=choose.within)] for choose in choices
    )
    assert all(np.array_equal(a, b[0]) for a, b in zip(encoded.indices, by_place, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(by_place, alike, strict=True))


def test_lambda_of_the_top_map_has_a_limit(model: Model) -> None:
    residual, codebooks = _normal(6, 1, 16, 16, 4) * 2, model.codebooks
    limit = TOP_MAX_RATE_WEIGHT / MAP_FACTORS[0]
    codings = model.codings
    assert [coding.max_rate_weight for coding in codings] == [TOP_MAX_RATE_WEIGHT, *[math.inf] * 3]
    below, at, above = (
        RateDistortionChoice(codings, weight)(codebooks[0], residual, []).indices for weight in (limit / 8, limit, 8 * limit)
    )
    assert np.array_equal(at, above) and not np.array_equal(at, below)
    maps, after = [above], _normal(7, 1, 32, 32, 4) * 2
    others = [RateDistortionChoice(codings, weight)(codebooks[1], after, maps).indices for weight in (limit, 8 * limit)]
    assert not np.array_equal(*others)


def test_static_and_raw(model: Model, codings: list[MapCoding]) -> None:
    residual, codebook = _normal(4, 1, 40, 40, 4), model.codebooks[0]
    costs = _costs(model, 0, residual, -np.log2(codings[0].static_freqs / codings[0].static_freqs.sum()))
    static = RateDistortionChoice(codings, WEIGHT, CoderKind.STATIC)(codebook, residual, []).indices
    raw = RateDistortionChoice(codings, WEIGHT, CoderKind.RAW)(codebook, residual, []).indices
    assert np.array_equal(static, costs.argmin(axis=3)) and not np.array_equal(raw, static)
    assert np.array_equal(raw, _costs(model, 0, residual, np.zeros(1)).argmin(axis=3))
    with pytest.raises(ValueError, match=r"must be in 0\.\.1e\+06, not nan"):
        RateDistortionChoice(codings, float("nan"))


def test_a_higher_weight_gives_a_smaller_file(small_model: str, photo: NDArray[np.uint8]) -> None:
    files = [vqcodec.encode(photo, model=small_model, num_maps=2, rate_weight=weight) for weight in (0.0, 2.0, 6.0)]
    lengths = [len(data) for data in files]
    assert lengths[1] < 0.96 * lengths[0] and lengths[2] < 0.96 * lengths[1]
    assert files[0] == vqcodec.encode(photo, model=small_model, num_maps=2)
    assert vqcodec.decode(files[2]).size == (451, 300)


@pytest.mark.slow
def test_batches_give_the_same_codes(model: Model) -> None:
    pictures = [Picture(make_picture(200, 136, seed)) for seed in range(3)]
    together = encode_pictures(pictures, model, point=OperatingPoint(4, 1.0))
    alone = [encode_pictures([picture], model, point=OperatingPoint(4, 1.0))[0] for picture in pictures]
    assert [file.data for file in together] == [file.data for file in alone]
    by_prior = encode_pictures(pictures, model, point=OperatingPoint(4, 1.0), coder=CoderKind.PRIOR)
    scored_again = [
        write_file(picture, file.indices, model, CoderKind.PRIOR, layers=file.layers, sharpness=sharpness_of(file))
        for picture, file in zip(pictures, by_prior, strict=True)
    ]
    assert [file.data for file in by_prior] == scored_again
    assert sharpness_of(by_prior[0]) == [16, 16, 17, 18]


def sharpness_of(file: EncodedFile) -> list[int]:
    return [entry.sharpness for entry in read_header(file.data)[0].maps]


@pytest.mark.slow
def test_blocks_give_the_codes_and_streams_of_one_pass(model: Model) -> None:
    """Weights of places and free places are those of the whole picture, too, and streams come in the order of the format."""
    picture = make_picture(1032, 520)
    pixels = picture[None]
    free = np.zeros((1, 65, 129), bool)
    free[:, 40:, 90:] = True
    choice = RateDistortionChoice(model.codings, 3.0, weights=place_weights(pixels), free=free, with_streams=True)
    whole, parts = (encode_in_blocks(load_encoder(model), pixels, 2, choose_at=choice.within, block=block) for block in (2048, 512))
    assert [len(of_map.streams[0]) for of_map in parts if of_map.streams] == [6, 6]
    for a, b in zip(whole, parts, strict=True):
        assert float((a.indices == b.indices).mean()) > 0.99
    indices = [of_map.indices[0] for of_map in parts]
    assert [of_map.streams[0] for of_map in parts if of_map.streams] == [
        code_by_prior(model.priors[number].sharpened(parts[number].sharpness), [codes], [indices[:number]])[0]
        for number, codes in enumerate(indices)
    ]
    assert [of_map.sharpness for of_map in parts] == [16, 18]
