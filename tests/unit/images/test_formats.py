"""Checks formats that a plugin of Pillow reads, HEIC and JPEG XL, and streams."""

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from threading import Thread

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.unit.images.test_picture import check_damage
from vqcodec.errors import ImageError
from vqcodec.images.formats import IMAGE_SUFFIXES, PLUGINS
from vqcodec.images.picture import picture_from_any, read_picture

RGB = make_picture(20, 12)


def heic(pixels: np.ndarray, **options: object) -> bytes:
    heif = pytest.importorskip("pillow_heif")
    out = BytesIO()
    height, width = pixels.shape[:2]
    mode = "RGB" if pixels.shape[2] == 3 else "RGBA"
    heif.from_bytes(mode, (width, height), pixels.tobytes()).save(out, quality=-1, chroma=444, matrix_coefficients=0, **options)
    return out.getvalue()


def jxl(pixels: np.ndarray) -> bytes:
    pytest.importorskip("pillow_jxl")
    data: bytes = imagecodecs.jpegxl_encode(pixels, lossless=True)
    return data


def test_heic_is_read(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(heic(RGB))
    assert np.array_equal(read_picture(tmp_path / "photo.heic").pixels, RGB)
    assert np.array_equal(picture_from_any(BytesIO(heic(RGB))).pixels, RGB)
    rgba = np.dstack([RGB, RGB[:, :, 0]])
    picture = read_picture(BytesIO(heic(rgba)))
    assert picture.alpha is not None and np.array_equal(picture.alpha, RGB[:, :, 0])


def test_jpeg_xl_is_read(tmp_path: Path) -> None:
    for pixels in (RGB, RGB[:, :, 0], np.dstack([RGB, RGB[:, :, 1]])):
        (tmp_path / "photo.jxl").write_bytes(jxl(pixels))
        picture = read_picture(tmp_path / "photo.jxl")
        assert np.array_equal(picture.pixels, pixels[:, :, :3] if pixels.ndim == 3 else pixels)
        assert (picture.alpha is not None) == (pixels.shape[2:] == (4,)) and picture.icc_profile is None


def test_the_orientation_of_a_jpeg_xl_is_that_of_its_codestream() -> None:
    pytest.importorskip("pillow_jxl")
    exif = Image.Exif()
    exif[274] = 6
    out = BytesIO()
    Image.fromarray(RGB).save(out, "JXL", lossless=True, exif=exif.tobytes())
    picture = read_picture(BytesIO(out.getvalue()))
    assert np.array_equal(picture.pixels, RGB)
    assert picture.exif is not None and Image.Exif.get(_exif_of(picture.exif), 274, 1) == 1


def _exif_of(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + data)
    return exif


def test_orientation_of_heic_is_applied_once() -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture = read_picture(BytesIO(heic(RGB, exif=exif.tobytes())))
    assert np.array_equal(picture.pixels, np.rot90(RGB, -1))


@pytest.mark.parametrize(("module", "package", "data"), [("pillow_heif", "pillow-heif", heic), ("pillow_jxl", "pillow-jxl-plugin", jxl)])
def test_a_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch, module: str, package: str, data: object) -> None:
    file = BytesIO(data(RGB))  # type: ignore[operator]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=f"photo: (HEIC|JPEG XL) is read by a plugin that is not installed: pip install {package}$"):
        read_picture(file, name="photo")


def test_plugins_are_loaded_when_a_file_needs_them(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "photo.png")
    program = (
        "import sys; from pathlib import Path; from vqcodec.images.picture import read_picture; read_picture(Path(sys.argv[1])); "
        "assert not {'pillow_heif', 'pillow_jxl'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "photo.png")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(suffix in IMAGE_SUFFIXES for plugin in PLUGINS for suffix in plugin.suffixes)


def test_a_plugin_that_the_caller_registered_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    class Own(ImageFile.ImageFile):
        format = "OWN"

        def _open(self) -> None:
            self._mode, self._size = "L", (2, 1)
            self.tile = [ImageFile._Tile("raw", (0, 0, 2, 1), 4, "L")]

    monkeypatch.setitem(Image.OPEN, "OWN", (Own, lambda head: head.startswith(b"OWN!")))
    monkeypatch.setattr(Image, "ID", [*Image.ID, "OWN"])
    assert read_picture(BytesIO(b"OWN!\7\x09")).pixels.tolist() == [[7, 9]]


def test_qoi_is_read() -> None:
    data = imagecodecs.qoi_encode(RGB)
    assert np.array_equal(read_picture(BytesIO(data)).pixels, RGB)


class Stream(BytesIO):
    """A stream in which one cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("cannot seek")


def test_streams_that_cannot_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = BytesIO()
    Image.fromarray(RGB).save(out, "PNG")
    assert np.array_equal(picture_from_any(Stream(out.getvalue())).pixels, RGB)
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    Thread(target=path.write_bytes, args=[out.getvalue()], daemon=True).start()
    assert np.array_equal(picture_from_any(path).pixels, RGB)
    monkeypatch.setattr("vqcodec.format.limits.MAX_FILE_BYTES", 50)
    Thread(target=path.write_bytes, args=[bytes(51)], daemon=True).start()
    for long in (Stream(bytes(51)), path):
        with pytest.raises(ImageError, match="cannot be read: larger than 50 bytes"):
            picture_from_any(long)


def test_damaged_exif_of_an_avif_that_comes_as_a_stream() -> None:
    """The file is read twice, the second time without its EXIF."""
    out = BytesIO()
    Image.fromarray(RGB).save(out, "AVIF", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    data = out.getvalue().replace(b"II*\0", b"XX*\0")
    assert read_picture(BytesIO(data)).notes == read_picture(Stream(data)).notes == ("EXIF dropped: it is damaged",)


def test_damaged_files_raise_image_errors_alone() -> None:
    for whole in (heic(RGB), jxl(RGB)):
        check_damage(whole, 40)


def test_a_vq_file_is_told_to_be_encoded_already(tmp_path: Path) -> None:
    (tmp_path / "photo.vq").write_bytes(b"\x89VQ\4 and so on")
    with pytest.raises(ImageError, match="photo.vq: is encoded already: a .vq file, expected a picture"):
        read_picture(tmp_path / "photo.vq")
