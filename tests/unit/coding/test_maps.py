"""Checks that index maps come back from payloads of every coder, several files at once, and that bad payloads are told."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.coding.conftest import Maps, make_maps
from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.coding.maps import CodedMap, MapCoding, code_map, decode_map
from vqcodec.coding.prior import score_map
from vqcodec.errors import DesyncError, ModelError
from vqcodec.format.container import CoderKind, MapEntry, crc16, map_scale
from vqcodec.nn.prior.pixelsnail import PixelSnail

STATIC = freqs_from_counts(np.arange(16) + 1)


@pytest.fixture(scope="module")
def codings(priors: list[PixelSnail]) -> list[MapCoding]:
    """Returns the means to code each map of the small model."""
    return [MapCoding(number, STATIC, prior) for number, prior in enumerate(priors)]


def code_all(maps: Maps, codings: list[MapCoding], coder: CoderKind | None = None) -> list[CodedMap]:
    """Codes all maps of one picture."""
    return [coded for n, coding in enumerate(codings) for coded in code_map(coding, [maps[n]], [maps[:n]], coder=coder)]


def decode_all(files: list[list[CodedMap]], codings: list[MapCoding], sizes: list[tuple[int, int]]) -> list[Maps]:
    """Decodes all maps of several pictures, none of which may fail."""
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
    pictures = [make_maps(*size, seed) for seed, size in enumerate(sizes)]
    files = [code_all(maps, codings, kind) for maps in pictures]
    assert kind is None or all(coded.entry.coder is kind for file in files for coded in file)
    for maps, decoded in zip(pictures, decode_all(files, codings, sizes), strict=True):
        assert all(map(np.array_equal, maps, decoded))


def test_priors_of_different_sharpness_are_decoded_together(codings: list[MapCoding]) -> None:
    pictures, number = [make_maps(9, 7, seed) for seed in range(4)], 1
    sharpnesses = (16, 24, 16, 9)
    coded = [
        code_map(codings[number], [maps[number]], [maps[:number]], coder=CoderKind.PRIOR, sharpness=sharpness)[0]
        for maps, sharpness in zip(pictures, sharpnesses, strict=True)
    ]
    assert tuple(one.entry.sharpness for one in coded) == sharpnesses
    told: list[float] = []
    earlier = [maps[:number] for maps in pictures]
    results = decode_map(codings[number], coded, [(18, 14)] * 4, earlier, on_progress=told.append)
    assert all(result.error is None and np.array_equal(result.indices, maps[1]) for result, maps in zip(results, pictures, strict=True))
    assert told == sorted(told) and told[-1] == 1
    plain = [replace(one, entry=replace(one.entry, sharpness=16)) for one in coded]
    errors = [result.error for result in decode_map(codings[number], plain, [(18, 14)] * 4, earlier)]
    assert [error is None for error in errors] == [True, False, True, False]


def test_smallest_payload_is_chosen(codings: list[MapCoding]) -> None:
    maps = make_maps(40, 40)
    by_kind = {kind: code_all(maps, codings, kind) for kind in CoderKind}
    for number, coded in enumerate(code_all(maps, codings)):
        assert len(coded.payload) == min(len(file[number].payload) for file in by_kind.values())


def test_prior_payload_is_as_long_as_its_cross_entropy(codings: list[MapCoding]) -> None:
    maps = make_maps(32, 64)
    for number, coded in enumerate(code_all(maps, codings, CoderKind.PRIOR)):
        prior = codings[number].prior
        assert prior is not None
        bits = 0.0
        for codes, freqs in score_map(prior, maps[: number + 1]):
            assert (freqs.sum(axis=1) == 1 << 24).all() and freqs.min() >= 1
            bits += float((24 - np.log2(freqs[np.arange(len(codes)), codes])).sum())
        assert 0 <= len(coded.payload) - bits / 8 < 2 * 8 + 3


def test_no_prior(codings: list[MapCoding]) -> None:
    bare = [replace(coding, prior=None) for coding in codings]
    maps = make_maps(4, 4)
    assert {coded.entry.coder for coded in code_all(maps, bare)} <= {CoderKind.RAW, CoderKind.STATIC}
    with pytest.raises(ModelError, match="no prior for map top"):
        code_all(maps, bare, CoderKind.PRIOR)
    top = code_all(maps, codings, CoderKind.PRIOR)[0]
    (result,) = decode_map(bare[0], [top], [(4, 4)], [[]])
    assert isinstance(result.error, DesyncError) and "which the model lacks" in str(result.error)


def test_bad_payloads_spoil_their_own_file_only(codings: list[MapCoding]) -> None:
    sizes = [(80, 8)] * 6
    pictures = [make_maps(80, 8, seed) for seed in range(6)]
    tops = [code_all(maps, codings, CoderKind.PRIOR)[0] for maps in pictures]

    def spoilt(payload: bytes) -> CodedMap:
        return CodedMap(MapEntry(CoderKind.PRIOR, len(payload), crc16(payload), tops[0].entry.index_crc), payload)

    good = tops[0].payload
    tops[1] = spoilt(b"\xff\x7f" + good[2:])
    tops[2] = spoilt(good + b"\0")
    tops[3] = spoilt(good + b"\1\0\0\0")
    tops[4] = spoilt(good[:1])
    tops[5] = spoilt(b"\xff\xff\xff\xff\xff" + good)
    first, *others = decode_map(codings[0], tops, sizes, [[]] * 6)
    assert first.error is None and np.array_equal(first.indices, pictures[0][0])
    assert all(isinstance(other.error, DesyncError) for other in others)
    messages = [str(other.error) for other in others]
    assert "does not hold its streams" in messages[0] and "zero byte" in messages[1] and "does not hold its streams" in messages[4]
