"""Index maps to payloads and back, by every coder; several files at once; payloads that do not decode."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import SMALL_PRIORS, random_prior
from vqcodec.coding.frequencies import cross_entropy_bits, freqs_from_counts
from vqcodec.coding.maps import CodedMap, MapCoding, code_map, decode_map
from vqcodec.coding.prior import decode_by_prior, payload_of_streams, score_map
from vqcodec.coding.tiles import tile_groups
from vqcodec.errors import DesyncError, ModelError
from vqcodec.format.container import CoderKind, MapEntry, crc16, map_scale
from vqcodec.nn.prior.wavefront import Wavefront

STATIC = freqs_from_counts(np.arange(16) + 1)
Maps = list[NDArray[np.int64]]


@pytest.fixture(scope="module")
def codings() -> list[MapCoding]:
    priors = []
    for config in SMALL_PRIORS:
        prior = random_prior(config)
        prior.load_integers(prior.integers())
        priors.append(prior)
    return [MapCoding(number, STATIC, prior) for number, prior in enumerate(priors)]


def make_maps(height: int, width: int, seed: int = 0) -> Maps:
    rng = np.random.default_rng(seed)
    shapes = [(height, width)] + [(2 * height, 2 * width)] * 3
    return [rng.integers(16, size=shape) for shape in shapes]


def code_all(maps: Maps, codings: list[MapCoding], coder: CoderKind | None = None) -> list[CodedMap]:
    """Codes all maps of one picture."""
    return [coded for n, coding in enumerate(codings) for coded in code_map(coding, [maps[n]], [maps[:n]], coder=coder)]


def decode_all(files: list[list[CodedMap]], codings: list[MapCoding], sizes: list[tuple[int, int]]) -> list[Maps]:
    decoded: list[Maps] = [[] for _ in files]
    for coding in codings:
        scale = map_scale(coding.number)
        map_sizes = [(scale * height, scale * width) for height, width in sizes]
        coded = [file[coding.number] for file in files]
        for maps, result in zip(decoded, decode_map(coding, coded, map_sizes, decoded), strict=True):
            assert result.error is None, result.error
            maps.append(result.indices)
    return decoded


@pytest.mark.parametrize("kind", [None, *CoderKind])
def test_round_trip_of_several_files(codings: list[MapCoding], kind: CoderKind | None) -> None:
    sizes = [(1, 1), (33, 5), (7, 70), (32, 32)]
    maps = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    files = [code_all(levels, codings, kind) for levels in maps]
    assert kind is None or all(coded.entry.coder is kind for file in files for coded in file)
    for levels, decoded in zip(maps, decode_all(files, codings, sizes), strict=True):
        assert all(map(np.array_equal, levels, decoded))


def test_smallest_payload_is_chosen(codings: list[MapCoding]) -> None:
    levels = make_maps(40, 40)
    by_kind = {kind: code_all(levels, codings, kind) for kind in CoderKind}
    for number, coded in enumerate(code_all(levels, codings)):
        assert len(coded.payload) == min(len(file[number].payload) for file in by_kind.values())


def test_prior_payload_is_as_long_as_its_cross_entropy(codings: list[MapCoding]) -> None:
    levels = make_maps(32, 64)
    for number, coded in enumerate(code_all(levels, codings, CoderKind.PRIOR)):
        prior = codings[number].prior
        assert prior is not None
        bits = 0.0
        for codes, freqs in score_map(prior, levels[: number + 1]):
            assert (freqs.sum(axis=1) == 1 << 24).all() and freqs.min() >= 1
            bits += float((24 - np.log2(freqs[np.arange(len(codes)), codes])).sum())
        assert 0 <= len(coded.payload) - bits / 8 < 2 * 8 + 3
    assert cross_entropy_bits(levels[0].reshape(-1), STATIC) > 0


def test_no_prior(codings: list[MapCoding]) -> None:
    bare = [replace(coding, prior=None) for coding in codings]
    levels = make_maps(4, 4)
    assert {coded.entry.coder for coded in code_all(levels, bare)} <= {CoderKind.RAW, CoderKind.STATIC}
    with pytest.raises(ModelError, match="no prior for map top"):
        code_all(levels, bare, CoderKind.PRIOR)
    top = code_all(levels, codings, CoderKind.PRIOR)[0]
    (result,) = decode_map(bare[0], [top], [(4, 4)], [[]])
    assert isinstance(result.error, DesyncError) and "which the model lacks" in str(result.error)


@pytest.mark.parametrize(("stream", "most_steps"), [(b"", 3), (b"\1\0\0\0", 63)])
def test_forged_streams_cost_little(codings: list[MapCoding], monkeypatch: pytest.MonkeyPatch, stream: bytes, most_steps: int) -> None:
    """Streams without codes end the walk at once, and the first bad one ends that of its picture."""
    steps: list[Wavefront] = []
    logits = Wavefront.logits

    def counted(walk: Wavefront) -> torch.Tensor:
        steps.append(walk)
        return logits(walk)

    monkeypatch.setattr(Wavefront, "logits", counted)
    size = (32 * 12, 32 * 8)
    payload = payload_of_streams([stream] * len(tile_groups(*size, 0)))
    prior = codings[0].prior
    assert prior is not None
    (result,) = decode_by_prior(prior, [payload], [size], [[]])
    assert not result.indices.any() and (result.error is None if stream == b"" else isinstance(result.error, DesyncError))
    assert len(steps) <= most_steps


def test_bad_payloads_spoil_their_own_file_only(codings: list[MapCoding]) -> None:
    sizes = [(80, 8)] * 6
    maps = [make_maps(80, 8, seed) for seed in range(6)]
    tops = [code_all(levels, codings, CoderKind.PRIOR)[0] for levels in maps]

    def spoilt(payload: bytes) -> CodedMap:
        return CodedMap(MapEntry(CoderKind.PRIOR, len(payload), crc16(payload), tops[0].entry.index_crc), payload)

    good = tops[0].payload
    tops[1] = spoilt(b"\xff\x7f" + good[2:])
    tops[2] = spoilt(good + b"\0")
    tops[3] = spoilt(good + b"\1\0\0\0")
    tops[4] = spoilt(good[:1])
    tops[5] = spoilt(b"\xff\xff\xff\xff\xff" + good)
    first, *others = decode_map(codings[0], tops, sizes, [[]] * 6)
    assert first.error is None and np.array_equal(first.indices, maps[0][0])
    assert all(isinstance(other.error, DesyncError) for other in others)
    messages = [str(other.error) for other in others]
    assert "does not hold its streams" in messages[0] and "zero byte" in messages[1] and "does not hold its streams" in messages[4]
