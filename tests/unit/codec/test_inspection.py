"""Checks what is told of the bytes of a file: bits by place and by part, exact pixels, pictures of maps, the sheet."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

import vqcodec
from tests.conftest import make_picture
from tests.unit.images.profiles import DISPLAY_P3
from tests.unit.rate.test_graphics import text
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.errors import FormatError, LimitExceededError
from vqcodec.images.colour import profile_of


@pytest.fixture(scope="module")
def codec(models_root: object) -> Codec:
    return open_model(models_root / "small-test", device="cpu")


@pytest.mark.parametrize("coder", [None, "prior"])
def test_bits_by_place_are_those_of_the_payloads(codec: Codec, coder: str | None) -> None:
    data = codec.encode(make_picture(99, 61), quality=100, layers=False, coder=coder)
    found = codec.inspect(data)
    indices = codec.decode_indices(data)
    assert [bits.shape for bits in found.bits] == [one.shape for one in indices]
    assert found.bits_by_place.shape == (8, 13)
    assert found.bits_by_place.sum() == pytest.approx(sum(bits.sum() for bits in found.bits), rel=1e-5)
    payload_bytes = sum(entry.num_bytes for entry in found.info.maps)
    assert found.bits_by_place.sum() / 8 == pytest.approx(payload_bytes, abs=12 * len(indices))
    corner = found.bits[0][0, 0] + sum(bits[:2, :2].sum() for bits in found.bits[1:])
    assert found.bits_by_place[0, 0] == pytest.approx(corner, rel=1e-5)


def test_it_shows_what_is_decoded(codec: Codec) -> None:
    data = codec.encode(Image.fromarray(make_picture(99, 61)).convert("RGBA"), quality=50)
    found = vqcodec.inspect(data, model=codec)
    assert found.picture == codec.decode(data).convert("RGB")
    for image, indices in zip(found.maps, codec.decode_indices(data), strict=True):
        assert (image.height, image.width) == indices.shape
        colours = np.asarray(image)
        assert len(np.unique(colours[indices == indices[0, 0]], axis=0)) == 1
    assert {image.size for image in (found.heat, found.exact_picture, *found.enlarged_maps)} == {(99, 61)}
    assert sum(num_bytes for _, num_bytes in found.parts()) == len(data)
    with Image.open(BytesIO(found._repr_png_())) as shown:
        assert shown.size == found.sheet().size and shown.mode == "RGB"
    assert repr(found) == f"Inspection(99x61, {len(found.maps)} maps, {len(data)} bytes)"


@pytest.mark.usefixtures("no_avif")
def test_exact_pixels_are_shown_and_cost_their_bits(codec: Codec, photo: NDArray[np.uint8]) -> None:
    picture = np.vstack([photo[100:148, 150:246], text((96, 48))])
    data = codec.encode(picture, quality=50)
    found = codec.inspect(data)
    exact_bytes = dict(found.parts())["exact pixels"]
    assert np.array_equal(np.asarray(found.picture)[found.exact], picture[found.exact]) and found.exact[60:].mean() > 0.9
    assert np.array_equal(np.asarray(found.exact_picture)[found.exact], picture[found.exact])
    of_codes = sum(bits.sum() for bits in found.bits)
    assert (found.bits_by_place.sum() - of_codes) / 8 == pytest.approx(exact_bytes, abs=16)
    assert (found.bits_by_place[6:] > found.bits_by_place[:6].min()).all()


def test_codes_under_layers_that_cover_the_picture_cost_nothing(codec: Codec) -> None:
    found = codec.inspect(codec.encode(make_picture(99, 61), exact="all"))
    assert not any(bits.any() for bits in found.bits)
    assert found.bits_by_place.sum() / 8 == pytest.approx(dict(found.parts())["exact pixels"], abs=16)


def test_the_picture_is_in_srgb(codec: Codec) -> None:
    image = Image.fromarray(make_picture(99, 61))
    image.info["icc_profile"] = profile_of(DISPLAY_P3, is_grey=False)
    data = codec.encode(image, exact="all")
    found = np.asarray(codec.inspect(data).picture).astype(int)
    expected = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"])), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert np.abs(found - np.asarray(expected)).max() <= 2 < np.abs(found - np.asarray(image)).max()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1000, 3), (3, 1000)])
def test_sheets_of_strange_sizes(codec: Codec, width: int, height: int) -> None:
    sheet = codec.inspect(codec.encode(make_picture(width, height))).sheet()
    assert 480 < sheet.width < 2000 and sheet.height < 2000


def test_a_file_that_is_refused(codec: Codec) -> None:
    data = codec.encode(make_picture(16, 16))
    with pytest.raises(FormatError, match="cut or incomplete"):
        codec.inspect(data[:-1])
    with pytest.raises(LimitExceededError, match="expected 255 at most"):
        codec.inspect(data, max_pixels=255)
