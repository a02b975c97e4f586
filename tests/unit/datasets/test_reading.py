from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import vqcodec
from tests.unit.datasets.conftest import vq
from vqcodec.datasets.reading import CodeReader
from vqcodec.errors import FormatError, ImageError
from vqcodec.models import networks
from vqcodec.nn.prior.native import NativePrior


def test_files_of_all_kinds_are_decoded_together(codec: vqcodec.Codec) -> None:
    files = [
        vq(codec, 0, size=(40, 32), num_maps=3, coder="prior"),
        vq(codec, 1, size=(300, 70), num_maps=2, coder="prior"),
        vq(codec, 2, size=(9, 9), num_maps=1, coder="raw"),
        vq(codec, 3, size=(40, 32), num_maps=4, coder="static"),
    ]
    for file, codes in zip(files, CodeReader().read(files), strict=True):
        expected = codec.decode_indices(file)
        info = vqcodec.read_info(file)
        assert codes.error is None and (codes.width, codes.height) == (info.width, info.height)
        assert len(codes.maps) == len(expected) and all(map(np.array_equal, codes.maps, expected))
        assert {indices.dtype for indices in codes.maps} == {np.dtype(np.uint16)}


def test_nothing_is_loaded_but_the_priors_of_the_maps_that_are_wanted(codec: vqcodec.Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [vq(codec, seed, num_maps=4, coder="prior") for seed in range(2)]
    made = []

    def recorded(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda shape, *rest: made.append(shape.earlier_maps) or make(shape, *rest)

    monkeypatch.setattr(networks, "stored_prior", recorded(networks.stored_prior))
    monkeypatch.setattr("vqcodec.models.model.NativePrior", recorded(NativePrior))
    monkeypatch.setattr(networks, "stored_network", lambda *_: pytest.fail("a network was loaded"))
    from vqcodec.datasets import reading
    from vqcodec.models import model

    model._load.cache_clear()
    reading.model_named.cache_clear()
    codes = CodeReader(2).read(files)
    assert [len(of_file.maps) for of_file in codes] == [2, 2] and made == [0, 1]


def test_a_broken_file_does_not_stop_the_others(codec: vqcodec.Codec) -> None:
    intact = vq(codec, coder="prior")
    flipped = intact[:-3] + bytes([intact[-3] ^ 1]) + intact[-2:]
    results = CodeReader(2).read([intact, b"", flipped, intact[:-1], vq(codec, num_maps=1), intact])
    assert [type(codes.error).__name__ for codes in results] == [
        "NoneType", "BadMagicError", "ChecksumMismatchError", "TruncatedError", "FormatError", "NoneType",
    ]  # fmt: skip
    assert str(results[4].error) == "file holds 1 maps, expected 2 or more"


@pytest.mark.parametrize("size", [(96, 64), (1100, 600)])  # one tile group, and several
@pytest.mark.parametrize("pixels", [False, True])
def test_a_tile_is_the_same_part_of_the_maps(codec: vqcodec.Codec, size: tuple[int, int], pixels: bool) -> None:
    file = vq(codec, size=size, coder="prior")
    whole = codec.decode_indices(file)
    for place in ((0.0, 0.0), (0.5, 0.5), (0.999, 0.999)):
        (codes,) = CodeReader(tile_px=64, pixels=pixels).read([file], [place])
        assert codes.error is None
        top, left = (int(share * ((side - 64) // 8 + 1)) for share, side in zip(place, size[::-1], strict=True))
        for scale, indices, all_indices in zip((1, 2), codes.maps, whole, strict=True):
            part = all_indices[scale * top : scale * (top + 8), scale * left : scale * (left + 8)]
            assert np.array_equal(indices, part)
        if pixels:
            painted = np.asarray(codec.decode(file))[8 * top : 8 * top + 64, 8 * left : 8 * left + 64]
            assert np.array_equal(codes.pixels, painted)


def test_a_tile_needs_its_own_groups_alone(codec: vqcodec.Codec) -> None:
    file = vq(codec, size=(1100, 520), num_maps=1, coder="prior")
    payload = vqcodec.read_info(file).maps[0].num_bytes
    damaged = bytearray(file)
    damaged[-1] ^= 1
    assert payload > 10
    from vqcodec.format.container import Container, crc16, read_container, write_container

    container = read_container(file)
    own = bytes(damaged[-payload:])
    entry = container.header.maps[0].__class__(container.header.maps[0].coder, payload, crc16(own), container.header.maps[0].index_crc)
    header = container.header.__class__(**{**container.header.__dict__, "maps": (entry,)})
    rewritten = write_container(Container(header, (own,)))
    (first,) = CodeReader(tile_px=256).read([rewritten], [(0.0, 0.0)])
    assert first.error is None and np.array_equal(first.maps[0], codec.decode_indices(file)[0][:32, :32])
    (whole,) = CodeReader().read([rewritten])
    assert isinstance(whole.error, FormatError)


def test_a_picture_smaller_than_a_tile_is_told(codec: vqcodec.Codec) -> None:
    (codes,) = CodeReader(tile_px=64).read([vq(codec, size=(64, 63))])
    assert isinstance(codes.error, ImageError)
    assert str(codes.error) == "picture of 64x63 pixels, expected sides of 64 at least, those of a tile"


@pytest.mark.parametrize(("arguments", "kind"), [((0,), ValueError), (("1",), TypeError), ((1, 12), ValueError), ((1, 0), ValueError)])
def test_arguments_are_checked(arguments: tuple, kind: type) -> None:
    with pytest.raises(kind, match="must be"):
        CodeReader(*arguments)
