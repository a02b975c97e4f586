"""Checks that Pillow opens, checks, decodes and saves .vq files as it does pictures of its own formats."""

import copy
import pickle
import subprocess
import sys
import threading
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import vqcodec
import vqcodec.pillow
from tests.conftest import make_picture
from tests.unit.images.profiles import DISPLAY_P3
from vqcodec.format.container import Header, read_container, read_header, write_header
from vqcodec.images.colour import profile_of

WIDTH, HEIGHT = 203, 90
EXIF = Image.Exif()
EXIF[0x010F], EXIF[0x0112] = "maker", 6


class CountedFile(BytesIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


class Pipe:
    """A file that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self.read = BytesIO(data).read


def picture(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    return Image.fromarray(make_picture(width, height)).convert(mode)


@pytest.fixture
def encoded(small_model: str) -> bytes:
    """Returns a file of four maps with alpha, profile, EXIF and XMP."""
    image = picture()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.transpose(Image.Transpose.ROTATE_90)  # which the orientation undoes
    image.info |= {"icc_profile": profile_of(DISPLAY_P3, is_grey=False), "exif": EXIF.tobytes(), "xmp": b"<xmp/>"}
    return vqcodec.encode(image, model=small_model, num_maps=4, coder="prior", layers=False)


@pytest.fixture
def plain(small_model: str) -> bytes:
    """Returns a file of four maps without metadata."""
    return vqcodec.encode(picture(), model=small_model, num_maps=4, coder="prior", layers=False)


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def saved(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "VQ", model="small-test", num_maps=2, layers=False, **options)
    return file.getvalue()


def with_pixels(data: bytes, width: int, height: int) -> bytes:
    """Returns a file whose header states another size."""
    header, start = read_header(data)
    fields = header.model_number, header.weights_digest, width, height, header.mode, header.maps, header.metadata_bytes
    return write_header(Header(*fields)) + data[start:]


def test_pillow_knows_the_format() -> None:
    assert Image.registered_extensions()[".vq"] == "VQ" and Image.MIME["VQ"] == "image/x-vq"


LIGHT = """
import sys
from PIL import Image
import vqcodec.pillow
image = Image.open(sys.argv[1])
heavy = sorted(sys.modules.keys() & {"numpy", "torch", "onnxruntime"})
print(image.size, image.mode, sorted(image.info), image.get_format_mimetype(), *heavy)
"""


def test_opening_loads_neither_torch_nor_numpy(encoded: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.vq"
    path.write_bytes(encoded)
    done = subprocess.run([sys.executable, "-c", LIGHT, path], capture_output=True, text=True, check=True)
    assert done.stdout == "(203, 90) RGBA ['exif', 'icc_profile', 'xmp'] image/x-vq\n"


def test_opening_reads_header_and_metadata_alone(encoded: bytes, small_model: str) -> None:
    container = read_container(encoded)
    file = CountedFile(encoded)
    image = Image.open(file, formats=["VQ"])  # the readers of other formats look at files, too
    assert (image.size, image.mode, image.format) == ((WIDTH, HEIGHT), "RGBA", "VQ")
    assert file.count < 1100 < container.header.payload_bytes
    shown = vqcodec.decode(encoded)
    assert image.info == shown.info and image.getexif()[0x010F] == "maker" and image.getexif()[0x0112] == 1


def test_pixels_are_those_of_decode(encoded: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.vq"
    path.write_bytes(encoded)
    expected = vqcodec.decode(encoded)
    for source in (path, str(path), BytesIO(encoded), Pipe(encoded)):
        image = Image.open(source)
        assert image.load() is not None and image.load()[0, 0] == expected.getpixel((0, 0))
        assert (image.mode, image.size) == (expected.mode, expected.size) and image.tobytes() == expected.tobytes()
        assert image.fp is None and image.readonly == 0


def test_copies_and_pickles_are_pictures(plain: bytes) -> None:
    expected = vqcodec.decode(plain)
    for make in (copy.copy, copy.deepcopy, Image.Image.copy, lambda image: pickle.loads(pickle.dumps(image))):
        made = make(opened(plain))
        assert made.tobytes() == expected.tobytes() and made.crop((0, 0, 4, 4)).size == (4, 4)
        made.thumbnail((20, 20))
        assert made.size == (20, 9)


def test_a_file_that_comes_in_pieces_has_its_size_early(plain: bytes) -> None:
    parser = ImageFile.Parser()
    parser.feed(plain[:100])
    assert parser.image.size == (WIDTH, HEIGHT)
    parser.feed(plain[100:])
    assert parser.close().tobytes() == vqcodec.decode(plain).tobytes()


def test_a_file_may_be_saved_to_its_own_path(plain: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.vq"
    path.write_bytes(plain)
    with Image.open(path) as image:
        image.save(path, model="small-test", num_maps=1)
    assert path.read_bytes() == vqcodec.encode(vqcodec.decode(plain), model="small-test", num_maps=1)


def test_every_thread_may_have_its_own(plain: bytes) -> None:
    images, found = [opened(plain) for _ in range(4)], []
    images += images[:1]
    threads = [threading.Thread(target=lambda image=image: found.append(np.asarray(image).tobytes())) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {vqcodec.decode(plain).tobytes()} and len(found) == 5


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_draft_is_a_mean_of_what_first_maps_show(encoded: bytes, scale: int) -> None:
    image, size = opened(encoded), (-(-WIDTH // scale), -(-HEIGHT // scale))
    assert image.draft(None, (WIDTH // scale, HEIGHT // scale)) == ("RGBA", (0, 0, WIDTH / scale, HEIGHT / scale))
    assert image.size == size and image.draft(None, (1, 1)) is None
    with vqcodec.open(BytesIO(encoded)) as reader:
        expected = reader.read_region((0, 0), 1, size, max_maps=2) if scale == 2 else reader.sketch(scale)
    assert image.tobytes() == expected.tobytes() and image.info == expected.info and image.load() is not None


@pytest.mark.parametrize("size", [None, (WIDTH, HEIGHT), (0, 0), (WIDTH // 2 + 1, 1)])
def test_a_draft_of_no_smaller_size_changes_nothing(plain: bytes, size: tuple[int, int] | None) -> None:
    image = opened(plain)
    if size == (0, 0):
        assert image.draft(None, size) is not None
    else:
        assert image.draft(None, size) is None and image.tobytes() == vqcodec.decode(plain).tobytes()


def test_a_thumbnail_has_the_size_that_any_picture_has(plain: bytes) -> None:
    for size, max_maps in [((20, 20), 2), ((50, 13), 2), ((300, 300), 4), ((7, 100), 4)]:
        image, expected = opened(plain), vqcodec.decode(plain, max_maps=max_maps)
        image.thumbnail(size)
        expected.thumbnail(size)
        assert image.size == expected.size
        assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean() < 3
    sketch, expected = opened(plain), picture()
    sketch.thumbnail((11, 11))
    expected.thumbnail((11, 11))
    assert sketch.size == expected.size


def test_a_region_reads_and_paints_no_more_than_it_needs(small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = vqcodec.encode(picture("L", 8700, 136), model=small_model, num_maps=1, coder="prior", layers=False)
    file, expected = CountedFile(data), vqcodec.decode(data)
    image = Image.open(file)
    image.info["own"] = 1
    monkeypatch.setattr(vqcodec.pillow.VqImageFile, "load", None)
    for left in (0, 5000):
        part = image.crop((left + 0.4, 10, left + 40.2, 30))
        assert part.size == (40, 20) and part.info["own"] == 1
        assert np.abs(np.asarray(part).astype(int) - np.asarray(expected.crop((left, 10, left + 40, 30)))).max() <= 1
    assert file.count < len(data) / 2


def test_regions_that_add_up_to_the_picture_load_it(plain: bytes) -> None:
    image, expected = opened(plain), vqcodec.decode(plain)
    parts = [image.crop((left, 0, left + 100, HEIGHT)) for left in (0, 100)]
    assert image.tile
    parts.append(image.crop((100, 0, 200, HEIGHT)))
    assert not image.tile and parts[2].tobytes() == expected.crop((100, 0, 200, HEIGHT)).tobytes()
    assert opened(plain).crop((-5, 0, 20, 99)).tobytes() == expected.crop((-5, 0, 20, 99)).tobytes()
    assert opened(plain).crop().size == expected.size
    with pytest.raises(ValueError, match="right"):
        opened(plain).crop((9, 0, 8, 9))


def test_what_is_wrong_with_a_header_makes_a_file_unknown(plain: bytes) -> None:
    _, start = read_header(plain)
    for data in (b"", plain[:1], plain[:3], plain[: start - 1], b"\x89VQ\x04" + bytes(40), plain[:8] + b"?" + plain[9:]):
        with pytest.raises(UnidentifiedImageError):
            opened(data)
    with pytest.warns(UserWarning, match="format version 3, expected 4 or 5"), pytest.raises(UnidentifiedImageError):
        opened(b"\x89VQ\x03" + plain[4:])


def test_damage_behind_the_header_is_told_when_pixels_are_wanted(encoded: bytes) -> None:
    _, start = read_header(encoded)
    for position in (start, len(encoded) // 2, len(encoded) - 6):
        data = encoded[:position] + bytes([encoded[position] ^ 1]) + encoded[position + 1 :]
        for use in (np.asarray, Image.Image.copy, lambda image: image.crop((0, 0, 200, 9))):
            with pytest.raises(OSError, match="damaged"):
                use(opened(data))
        with pytest.raises(OSError, match="damaged"):
            opened(data).verify()
    with pytest.raises(OSError, match="payload of map top is damaged"):
        opened(encoded[:start] + bytes([encoded[start] ^ 1]) + encoded[start + 1 :]).thumbnail((9, 9))


@pytest.mark.parametrize("more", [True, False])
def test_a_file_of_another_length_is_refused(encoded: bytes, more: bool) -> None:
    data, message = (encoded + b"?", "1 bytes after the end") if more else (encoded[:-1], "image file is truncated: ")
    for use in (lambda image: image.load(), lambda image: image.verify(), lambda image: image.thumbnail((9, 9))):
        with pytest.raises(OSError, match=message):
            use(opened(data))


def test_what_is_left_of_a_cut_file_is_shown_where_pillow_is_told_so(encoded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    header, start = read_header(encoded)
    cut = encoded[: start + header.maps[0].num_bytes + 3]
    image, small = opened(cut), opened(cut)
    assert image.info == {} and image.tobytes() == vqcodec.decode(cut, allow_truncated=True).tobytes()
    small.thumbnail((20, 20))
    assert small.size == (20, 9) and opened(cut).crop((1, 1, 9, 9)).size == (8, 8)
    with pytest.raises(OSError, match="before its first map"):
        opened(encoded[: start + 1]).load()


def test_verify_decodes_nothing_and_closes(plain: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.vq"
    path.write_bytes(plain)
    image = Image.open(path)
    monkeypatch.setenv("VQCODEC_MODELS", "")
    image.verify()
    with pytest.raises(RuntimeError, match="directly after open"):
        image.verify()
    with pytest.raises(ValueError, match="closed image"):
        image.load()
    with pytest.raises(OSError, match="is not installed"), Image.open(path) as unknown:
        unknown.load()
    with Image.open(path) as closed:
        pass
    with pytest.raises(ValueError, match="closed image"):
        closed.crop((0, 0, 3, 3))


def test_many_pixels_in_few_bytes_are_refused(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_pixels(plain, 10000, 9000)
    with pytest.warns(Image.DecompressionBombWarning):
        image = opened(data)
    for use in (image.load, lambda: image.crop((0, 0, 9, 9)), lambda: image.thumbnail((100, 100))):
        with pytest.raises(Image.DecompressionBombError, match=r"10000x9000 pixels in \d+ bytes"):
            use()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for use in (opened(data).load, partial(opened(data).thumbnail, (100, 100))):
        with pytest.raises(OSError, match="map top"):
            use()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        opened(plain)
