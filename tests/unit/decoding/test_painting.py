"""Checks that a region of a picture is that of the whole picture, at the cost of the region."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest

import vqcodec
from tests.conftest import make_picture
from vqcodec.coding import groups
from vqcodec.coding.any_prior import decode_streams
from vqcodec.coding.streams import DecodedMap
from vqcodec.coding.tint import ColourLayer
from vqcodec.datasets.reading import CodeReader
from vqcodec.decoding.files import decode_file
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import write_file
from vqcodec.errors import DesyncError, FormatError, LimitExceededError, ModelError, RegionError
from vqcodec.format.chunks import chunks_bytes
from vqcodec.format.container import (
    MAX_PIXELS,
    CoderKind,
    ColourMode,
    Container,
    Header,
    MapEntry,
    crc16,
    read_container,
    write_container,
)
from vqcodec.format.layers import WEBP_SIGNATURE, Layers, Patch, write_layers
from vqcodec.images.layers import exact_patches
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import load_model
from vqcodec.rate.options import LayerOptions

REGIONS = [(0, 0, 1, 1), (500, 500, 30, 25), (1020, 511, 80, 49), (3, 200, 600, 100), (0, 0, 1100, 560), (1099, 559, 1, 1)]


@pytest.fixture(scope="module")
def files(models_root) -> dict[str, bytes]:
    """Returns files of 1100x560 pixels, which are 3x2 tile groups."""
    model = load_model(models_root / "small-test", "cpu")
    rgb = make_picture(1100, 560)
    alpha = (np.arange(560)[:, None] + np.arange(1100) >> 3).clip(0, 255).astype(np.uint8)
    pictures = {"rgb": Picture(rgb), "alpha": Picture(rgb, alpha, b"profile"), "grey": Picture(rgb[:, :, 0])}
    point = OperatingPoint(2, 0.0)
    encoded = {
        name: encode_pictures([picture], model, point=point, coder=CoderKind.PRIOR, options=LayerOptions(layers=False))[0]
        for name, picture in pictures.items()
    }
    codes = encoded["rgb"].indices
    mask = np.zeros(rgb.shape[:2], bool)
    mask[490:530, 495:1060] = True
    tint = ColourLayer(6, 4, np.arange(9 * 18 * 3).reshape(9, 18, 3) % 5 - 2).body
    layered = write_file(pictures["rgb"], codes, model, CoderKind.PRIOR, layers=Layers(exact_patches(rgb, mask), tint=tint))
    static, raw = (write_file(pictures["rgb"], codes, model, coder) for coder in (CoderKind.STATIC, CoderKind.RAW))
    return {name: one.data for name, one in encoded.items()} | {"layered": layered, "static": static, "raw": raw}


@pytest.mark.parametrize("name", ["rgb", "alpha", "grey", "layered", "static", "raw"])
def test_a_region_shows_what_the_whole_picture_shows(files: dict[str, bytes], name: str, small_model: str) -> None:
    codec = vqcodec.open_model(small_model)
    whole = codec.decode(files[name])
    for left, top, width, height in REGIONS:
        part = codec.decode(files[name], region=(left, top, width, height))
        assert (part.mode, part.size, part.info) == (whole.mode, (width, height), whole.info)
        expected = np.asarray(whole)[top : top + height, left : left + width]
        assert np.abs(np.asarray(part).astype(int) - expected).max() <= 1


def test_a_region_takes_first_maps_and_hides_layers_as_the_whole_picture_does(files: dict[str, bytes], small_model: str) -> None:
    region = (480, 480, 60, 60)
    for options in [{"max_maps": 1}, {"layers": False}, {"max_maps": 9}]:
        whole = np.asarray(vqcodec.decode(files["layered"], **options))  # type: ignore[arg-type]
        part = np.asarray(vqcodec.decode(files["layered"], region=region, **options))  # type: ignore[arg-type]
        assert np.abs(part.astype(int) - whole[480:540, 480:540]).max() <= 1


def test_only_the_groups_that_a_region_needs_are_decoded(
    files: dict[str, bytes], small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def counted(prior, streams: Sequence[Sequence[bytes]], *rest) -> list[DecodedMap]:
        counts.append(len(streams))
        return decode_streams(prior, streams, *rest)

    monkeypatch.setattr(groups, "decode_streams", counted)
    for region, expected in [((100, 100, 200, 200), 1), ((100, 500, 200, 30), 2), ((500, 500, 30, 30), 4), ((1030, 10, 9, 9), 2)]:
        vqcodec.decode(files["rgb"], region=region)
        assert counts[-2:] == [expected, expected]
    assert len(counts) == 8
    vqcodec.decode(files["layered"], region=(500, 495, 500, 30))
    assert len(counts) == 8, "Exact pixels cover the region."


def test_codes_of_parts_are_those_of_the_whole_map(files: dict[str, bytes], small_model: str) -> None:
    decoded = decode_file(files["rgb"])
    model, size = decoded.file.model, (1100, 560)
    maps = [groups.WholeMap(model.codings[n], coded, decoded.indices[n].shape) for n, coded in enumerate(decoded.file.maps)]
    decoder = groups.GroupDecoder(model.codings, maps, groups.GroupGrid(*size))
    for top, bottom, left, right in [(0, 8, 0, 8), (448, 560, 1000, 1104), (8, 520, 504, 520), (0, 560, 0, 1104)]:
        part = decoder.codes((slice(top, bottom), slice(left, right)), 2)
        for number, (codes, whole) in enumerate(zip(part, decoded.indices, strict=True)):
            side = 8 >> min(number, 1)
            assert np.array_equal(codes, whole[top // side : bottom // side, left // side : right // side])


@pytest.mark.parametrize(
    ("name", "place", "found", "most"),
    [
        ("rgb", (0, 0), "image of 8x8 pixels", 8 * 8),
        ("layered", (0, 0), "image of 8x8 pixels", 8 * 8),
        ("layered", (500, 500), "region that overlaps exact patches of 22600 pixels", 565 * 40),
        ("alpha", (0, 0), "image of 1100x560 pixels", 1100 * 560),
    ],
)
def test_a_limit_counts_what_is_decoded_for_a_region(
    files: dict[str, bytes], name: str, place: tuple[int, int], found: str, most: int, small_model: str
) -> None:
    data, region = files[name], (*place, 8, 8)
    shown = vqcodec.decode(data, region=region)
    assert vqcodec.decode(data, region=region, max_pixels=most) == shown
    with pytest.raises(LimitExceededError, match=f"{found}, expected {most - 1} at most"):
        vqcodec.decode(data, region=region, max_pixels=most - 1)
    with vqcodec.open(BytesIO(data), max_pixels=most) as reader:
        assert reader.read_region(place, 0, (8, 8)) == shown
    with (
        vqcodec.open(BytesIO(data), max_pixels=most - 1) as reader,
        pytest.raises(LimitExceededError, match=f"{found}, expected {most - 1} at most"),
    ):
        reader.read_region((place[0], place[1]), 0, (8, 8))


def test_a_region_without_layers_is_not_refused_for_them(files: dict[str, bytes], small_model: str) -> None:
    data, region = files["layered"], (500, 500, 8, 8)
    shown = vqcodec.decode(data, region=region, layers=False, max_pixels=64)
    with vqcodec.open(BytesIO(data), layers=False, max_pixels=64) as reader:
        assert reader.read_region((500, 500), 0, (8, 8)) == shown


def test_many_exact_pixels_from_few_bytes_are_refused_before_any_is_decoded(small_model: str) -> None:
    """Two patches that state half of the picture each, both of which a region may overlap, and no pixel of which is there."""
    model = vqcodec.open_model(small_model).model
    width, height = 1 << 14, 1 << 13
    stated = WEBP_SIGNATURE + (width - 1 | (height // 2 - 1) << 14).to_bytes(4, "little")
    layers = write_layers(Layers(tuple(Patch(0, top, width * height // 2, stated) for top in (0, height // 2))))
    entry, size = MapEntry(CoderKind.STATIC, 0, crc16(b""), 0), len(chunks_bytes(layers))
    header = Header(model.config.number, model.config.weights_digest, width, height, ColourMode.RGB, (entry,), 0, size)
    data = write_container(Container(header, (b"",), (), layers))
    left, top = width // 2, height // 2 - 4
    (codes,) = CodeReader(tile_px=64, pixels=True).read([data])
    assert isinstance(codes.error, LimitExceededError)
    refused = f"region that overlaps exact patches of {MAX_PIXELS} pixels in {len(data)} bytes, expected at most 89478485 pixels in so few"
    with pytest.raises(LimitExceededError, match=refused):
        vqcodec.decode(data, region=(left, top, 8, 8))
    with vqcodec.open(BytesIO(data)) as reader, pytest.raises(LimitExceededError, match=refused):
        reader.read_region((left, top), 3, (2, 2))
    with vqcodec.open(BytesIO(data), max_pixels=MAX_PIXELS) as reader:
        for let_in in (
            lambda: vqcodec.decode(data, region=(left, top, 8, 8), max_pixels=MAX_PIXELS),
            lambda: vqcodec.decode(data, region=(left, 0, 8, 8)),
            lambda: reader.read_region((left, top), 3, (2, 2)),
        ):
            with pytest.raises(FormatError, match="exact patch") as told:
                let_in()
            assert not isinstance(told.value, LimitExceededError)


def test_what_cannot_be_a_region_is_told(files: dict[str, bytes], small_model: str) -> None:
    with pytest.raises(RegionError, match="100x1 pixels at 1001,0, expected one within the picture's 1100x560"):
        vqcodec.decode(files["rgb"], region=(1001, 0, 100, 1))
    with pytest.raises(ValueError, match="fill must be None"):
        vqcodec.decode(files["rgb"], region=(0, 0, 1, 1), fill="mode")
    with pytest.raises(TypeError, match="four whole numbers"):
        vqcodec.decode(files["rgb"], region=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"realism": 7}, ValueError, "realism must be"),
        ({"realism": "x"}, TypeError, "realism must be a number"),
        ({"realism": 1}, ModelError, "small-test"),
        ({"seed": -1}, ValueError, "seed must be at least 0, not -1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, not 0"),
        ({"max_maps": 0}, ValueError, "max_maps must be at least 1, not 0"),
    ],
)
@pytest.mark.parametrize("region", [None, (0, 0, 8, 8)])
def test_arguments_are_checked_where_layers_hide_what_is_painted(
    options: dict[str, Any], error: type[Exception], message: str, region: tuple[int, int, int, int] | None, small_model: str
) -> None:
    data = vqcodec.encode(make_picture(24, 24), model=small_model, exact="all")
    with pytest.raises(error, match=message):
        vqcodec.decode_batch([data], region=region, **options)


def test_a_stream_that_does_not_decode_is_told(files: dict[str, bytes], small_model: str) -> None:
    """A stream of the last group that holds more than its codes, by a wrong writer: regions of other groups do not meet it."""
    container = read_container(files["rgb"])
    payload = container.payloads[0] + b"\1\2\3\4"
    entry = replace(container.header.maps[0], num_bytes=len(payload), payload_crc=crc16(payload))
    header = replace(container.header, maps=(entry, container.header.maps[1]))
    data = write_container(replace(container, header=header, payloads=(payload, container.payloads[1])))
    vqcodec.decode(data, region=(0, 0, 9, 9))
    with pytest.raises(DesyncError, match="map top"):
        vqcodec.decode(data, region=(1050, 550, 9, 9))
