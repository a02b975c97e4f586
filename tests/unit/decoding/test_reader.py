"""Checks that a reader shows what whole pictures show, and reads no more than it needs."""

import mmap
import os
from io import BytesIO, StringIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import vqcodec
from tests.conftest import make_picture
from vqcodec.coding.tint import ColourLayer
from vqcodec.decoding.sources import FileBytes
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.encoding.writing import write_file
from vqcodec.errors import ChecksumMismatchError, FormatError, LimitExceededError, RegionError, TruncatedError, VqcodecError
from vqcodec.format import limits
from vqcodec.format.container import CoderKind, read_container
from vqcodec.format.groups import SUMS_CHUNK
from vqcodec.format.layers import Layers
from vqcodec.images.layers import exact_patches
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import load_model
from vqcodec.rate.options import LayerOptions

WIDTH, HEIGHT = 8700, 136
"""Of the picture with checksums of its 17 tile groups."""


class CountedFile(BytesIO):
    """A file that tells which bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.was_read = np.zeros(len(data), bool)

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(min(size or 0, 1000) if size and size > 0 else size)  # as a file from a network, in pieces
        self.was_read[start : start + len(data)] = True
        return data


@pytest.fixture(scope="module")
def wide(models_root: Path) -> bytes:
    model = load_model(models_root / "small-test", "cpu")
    picture, point = Picture(make_picture(WIDTH, HEIGHT)), OperatingPoint(2, 0.0)
    return encode_pictures([picture], model, point=point, coder=CoderKind.PRIOR, options=LayerOptions(layers=False))[0].data


@pytest.fixture(scope="module")
def layered(models_root: Path) -> bytes:
    """Returns a file of 603x90 pixels with alpha, a patch and a colour layer."""
    model = load_model(models_root / "small-test", "cpu")
    rgb, mask = make_picture(603, 90), np.zeros((90, 603), bool)
    mask[20:40, 500:530] = True
    picture = Picture(rgb, (np.arange(603) // 3).astype(np.uint8)[None].repeat(90, axis=0), b"profile")
    codes = encode_pictures([Picture(rgb)], model, point=OperatingPoint(4, 0.0), options=LayerOptions(layers=False))[0].indices
    tint = ColourLayer(6, 4, np.arange(2 * 10 * 3).reshape(2, 10, 3) % 5 - 2).body
    return write_file(picture, codes, model, layers=Layers(exact_patches(rgb, mask), tint=tint))


def weighted(image: Image.Image) -> np.ndarray:
    """Returns the samples of an RGBA image with colours times alpha."""
    return np.asarray(image.convert("RGBa")).astype(int)


def test_levels_are_means_of_the_pictures_that_their_maps_give(layered: bytes, small_model: str) -> None:
    with vqcodec.open(BytesIO(layered)) as reader:
        assert (reader.size, reader.mode, reader.level_count, reader.level_downsamples) == ((603, 90), "RGBA", 4, (1, 2, 4, 8))
        assert reader.level_dimensions == ((603, 90), (302, 45), (151, 23), (76, 12))
        for level, max_maps in enumerate((4, 4, 2, 1)):
            whole = vqcodec.decode(layered, max_maps=max_maps)
            factor, size = reader.level_downsamples[level], reader.level_dimensions[level]
            shown = reader.read_region((0, 0), level, size)
            assert (shown.mode, shown.size, shown.info) == ("RGBA", size, whole.info)
            assert np.abs(weighted(whole.reduce(factor)) - weighted(shown)).max() <= 1
            coarse = reader.read_region((0, 0), level, size, max_maps=1)
            top_alone = vqcodec.decode(layered, max_maps=1).reduce(factor)
            assert np.abs(weighted(top_alone) - weighted(coarse)).max() <= 1
            left, top = factor * 11, factor * 2
            part = reader.read_region((left, top), level, (40, 7))
            assert np.abs(weighted(part) - weighted(shown)[2:9, 11:51]).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_levels_show_no_colour_of_what_cannot_be_seen(mode: str, small_model: str) -> None:
    image = Image.new(mode[:-1], (64, 64), "white")
    image.putalpha(Image.radial_gradient("L").resize((64, 64)).point(lambda level: 255 * (level < 90)))
    data = vqcodec.encode(image, model=small_model, exact="all")
    assert (np.asarray(vqcodec.decode(data))[:, :, 0] == 0).any()
    with vqcodec.open(BytesIO(data)) as reader:
        pictures = [reader.read_region((0, 0), level, size) for level, size in enumerate(reader.level_dimensions)]
        pictures += [reader.thumbnail((20, 20)), reader.sketch(4), reader.sketch(8)]
    for picture in pictures:
        assert picture.mode == mode
        pixels = np.asarray(picture)
        assert (pixels[:, :, 0][pixels[:, :, -1] > 60] >= 251).all() and {0, 255} <= set(pixels[:, :, -1].ravel())


def test_no_more_is_read_than_a_region_needs(wide: bytes, small_model: str) -> None:
    container = read_container(wide)
    assert [chunk.kind for chunk in container.layers] == [SUMS_CHUNK] and len(container.layers[0].body) == 2 * 17 * 4
    assert len(container.layers[0].body) < 0.01 * len(wide)
    file, whole = CountedFile(wide), np.asarray(vqcodec.decode(wide))
    reader = vqcodec.open(file)
    assert file.was_read.mean() < 0.07
    part = np.asarray(reader.read_region((4400, 30), 0, (50, 60)))
    assert np.abs(part.astype(int) - whole[30:90, 4400:4450]).max() <= 1
    assert file.was_read.mean() < 0.07 + 2 / 17
    small = np.asarray(reader.read_region((0, 0), 3, reader.level_dimensions[3]))
    assert small.shape == (17, 1088, 3) and not file.was_read.all()


def test_a_file_without_checksums_of_groups_is_read_map_by_map(layered: bytes, small_model: str) -> None:
    file = CountedFile(layered)
    reader = vqcodec.open(file)
    before = file.was_read.sum()
    reader.read_region((0, 0), 3, (1, 1))
    container = read_container(layered)
    assert file.was_read.sum() - before == len(container.payloads[0]) + container.header.metadata_bytes


@pytest.mark.parametrize("where", [0.3, 0.6, 0.999])
def test_damage_is_found_where_it_is_read(wide: bytes, small_model: str, where: float) -> None:
    """A flipped bit in a stream is found by regions of its group."""
    data = bytearray(wide)
    data[int(where * len(data))] ^= 1
    reader = vqcodec.open(BytesIO(bytes(data)))
    with pytest.raises(ChecksumMismatchError, match="tile group [0-9]+ of map"):
        reader.read_region((0, 0), 0, reader.size)
    failed = 0
    for group in range(17):
        try:
            reader.read_region((512 * group + 200, 0), 0, (9, 9))
        except VqcodecError:
            failed += 1
    assert failed == 1


def test_thumbnails_fit_and_keep_their_proportions(layered: bytes, small_model: str) -> None:
    reader = vqcodec.open(BytesIO(layered))
    for most, expected in [((9999, 9999), (603, 90)), ((100, 100), (100, 15)), ((60, 60), (60, 9)), ((600, 1), (7, 1)), ((1, 1), (1, 1))]:
        assert reader.thumbnail(most).size == expected
    whole = vqcodec.decode(layered, max_maps=2).resize((100, 15), Image.Resampling.BOX)
    assert np.abs(np.asarray(reader.thumbnail((100, 100))).astype(int) - np.asarray(whole)).mean() < 6


def test_paths_are_opened_and_closed(layered: bytes, small_model: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.vq"
    path.write_bytes(layered)
    with vqcodec.open(path, model=small_model) as reader, vqcodec.open(str(path)) as other:
        assert reader.read_region((3, 3), 0, (5, 5)).tobytes() == other.read_region((3, 3), 0, (5, 5)).tobytes()
        assert "603x90" in repr(reader)
    with pytest.raises(ValueError, match="closed"):
        reader.read_region((0, 0), 0, (1, 1))
    file = BytesIO(layered)
    with vqcodec.open(file):
        pass
    assert not file.closed
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert vqcodec.open(mapped).read_region((3, 3), 0, (5, 5)).size == (5, 5)  # type: ignore[arg-type]


def test_pipes_are_read(layered: bytes, small_model: str, tmp_path: Path) -> None:
    path = tmp_path / "pipe.vq"
    os.mkfifo(path)
    with vqcodec.open(BytesIO(layered), model=small_model) as reader:
        expected = reader.read_region((0, 0), 0, (9, 9)).tobytes()
    Thread(target=path.write_bytes, args=[layered], daemon=True).start()
    with vqcodec.open(path, model=small_model) as reader:
        assert reader.read_region((0, 0), 0, (9, 9)).tobytes() == expected
    Thread(target=path.write_bytes, args=[layered], daemon=True).start()
    with path.open("rb") as pipe, vqcodec.open(pipe, model=small_model) as reader:
        assert reader.read_region((0, 0), 0, (9, 9)).tobytes() == expected and not pipe.closed


def test_what_cannot_be_read_is_told(layered: bytes, small_model: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nothing.vq: no such file"):
        vqcodec.open(tmp_path / "nothing.vq")
    with (tmp_path / "written").open("wb") as file, pytest.raises(ValueError, match="file must be open for reading"):
        vqcodec.open(file)
    with pytest.raises(TypeError, match="layers must be True or False, not 'no'"):
        vqcodec.open(BytesIO(layered), layers="no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a path or an object with read and seek, not bytes"):
        vqcodec.open(layered)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="file must be open for reading bytes, but its read gives str"):
        vqcodec.open(StringIO("text"))  # type: ignore[arg-type]
    with vqcodec.open(BytesIO(layered)) as reader:
        for call in (lambda: reader.read_region(0, 0, (1, 1)), lambda: reader.thumbnail(7)):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="(location|size) must be a pair of .* in pixels, not [07]"):
                call()
    with pytest.raises(TruncatedError, match="file ends after"):
        vqcodec.open(BytesIO(layered[:-1]))
    with pytest.raises(FormatError, match="1 bytes after the end"):
        vqcodec.open(BytesIO(layered + b"x"))
    with pytest.raises(VqcodecError, match="not a .vq file"):
        vqcodec.open(BytesIO(b""))
    reader = vqcodec.open(BytesIO(layered))
    with pytest.raises(RegionError, match="10x1 pixels at 70,0, expected one within the picture's 76x12"):
        reader.read_region((560, 0), 3, (10, 1))
    with pytest.raises(ValueError, match=r"level must be in 0\.\.3, not 4"):
        reader.read_region((0, 0), 4, (1, 1))
    with pytest.raises(ValueError, match="width must be at least 1, not 0"):
        reader.thumbnail((0, 5))


def test_a_limit_counts_full_size_for_each_read(wide: bytes, small_model: str) -> None:
    with vqcodec.open(BytesIO(wide), max_pixels=50 * 40) as reader:
        assert reader.read_region((4400, 30), 0, (50, 40)).size == (50, 40)
        assert reader.read_region((4400, 30), 3, (6, 5)).size == (6, 5)
        for location, level, size, found in [
            ((4400, 30), 0, (51, 40), "51x40"),
            ((0, 0), 1, (26, 20), "52x40"),
            ((0, 0), 3, (7, 5), "56x40"),
        ]:
            with pytest.raises(LimitExceededError, match=f"image of {found} pixels, expected 2000 at most"):
                reader.read_region(location, level, size)
        for whole in (lambda: reader.thumbnail((9, 9)), lambda: reader.sketch(4), lambda: reader.sketch(8)):
            with pytest.raises(LimitExceededError, match="image of 8700x136 pixels, expected 2000 at most"):
                whole()
    with vqcodec.open(BytesIO(wide), max_pixels=WIDTH * HEIGHT) as reader:
        assert reader.sketch(8).size == reader.level_dimensions[3]


def test_regions_of_pictures_with_many_pixels_from_few_bytes_are_read(
    wide: bytes, layered: bytes, small_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MANY_PIXELS", 1000)
    monkeypatch.setattr(limits, "PIXELS_PER_BYTE", 1)
    with pytest.raises(LimitExceededError, match="image of 8700x136 pixels in"):
        vqcodec.decode(wide)
    with vqcodec.open(BytesIO(wide)) as reader:
        assert reader.read_region((4400, 30), 0, (25, 40)).size == (25, 40)
        with pytest.raises(LimitExceededError, match="image of 8700x136 pixels in"):
            reader.thumbnail((9, 9))
    with vqcodec.open(BytesIO(layered)) as reader, pytest.raises(LimitExceededError, match="image of 603x90 pixels in"):
        reader.read_region((0, 0), 0, (1, 1))  # the alpha plane is decoded as a whole
    with vqcodec.open(BytesIO(layered), max_pixels=603 * 90) as reader:
        assert reader.read_region((0, 0), 0, (1, 1)).size == (1, 1)


def test_a_limit_of_a_reader_is_checked(layered: bytes, small_model: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.vq"
    path.write_bytes(layered)
    with pytest.raises(ValueError, match="max_pixels must be at least 1, not 0"):
        vqcodec.open(path, max_pixels=0)
    with pytest.raises(TypeError, match="max_pixels must be a whole number"):
        vqcodec.open(BytesIO(layered), max_pixels=1.5)  # type: ignore[arg-type]


def test_bytes_that_come_in_pieces_are_joined() -> None:
    data = bytes(range(256)) * 20
    source = FileBytes(CountedFile(data))
    assert (source.read(0, len(data)), source.read(7, 3000), source.read(5, 0)) == (data, data[7:3007], b"")
    with pytest.raises(TruncatedError, match=f"file ends after {len(data)} of {len(data) + 1} bytes"):
        source.read(100, len(data) - 99)


@pytest.mark.parametrize("downsample", [4, 8])
def test_a_sketch_is_near_what_the_top_map_paints(photo: np.ndarray, small_model: str, downsample: int) -> None:
    picture = Image.fromarray(photo).convert("L")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    data = vqcodec.encode(picture, model=small_model, num_maps=2, layers=False)
    with vqcodec.open(BytesIO(data)) as reader:
        level = reader.level_downsamples.index(downsample)
        sketch, painted = reader.sketch(downsample), reader.read_region((0, 0), level, reader.level_dimensions[level], max_maps=1)
    assert (sketch.mode, sketch.size) == ("LA", painted.size)
    assert np.abs(np.asarray(sketch).astype(int) - np.asarray(painted))[:-1, :-1].mean() < 2


def test_what_layers_say_is_in_a_sketch(layered: bytes, small_model: str) -> None:
    with vqcodec.open(BytesIO(layered)) as reader:
        size = reader.level_dimensions[2]
        assert reader.sketch(4).tobytes() == reader.read_region((0, 0), 2, size, max_maps=1).tobytes()
        assert reader.sketch(8).info == reader.sketch(4).info == {"icc_profile": b"profile"}
        for wrong in (2, 16, "4", None):
            with pytest.raises(ValueError, match="downsample must be 4 or 8, not"):
                reader.sketch(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the reader is closed"):
        reader.sketch(4)
