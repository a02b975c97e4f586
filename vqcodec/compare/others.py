"""Codecs of others: the formats that people use, by the libraries that write them."""

import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version as package_version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, features

from vqcodec.compare.codecs import ImageCodec, Pixels

_TRELLIS_QUANT_TABLE: Final = 3
"""Number of N. Robidoux's table, the default of mozjpeg; libvips would take the table in the annex of the JPEG standard."""
_MAX_VVC_SIDE_PX: Final = 0xFFFF
"""Longest side that the two bytes before a VVC stream can hold."""


@dataclass(frozen=True)
class PillowCodec(ImageCodec):
    """A format that Pillow writes.

    Attributes:
        format: name of the format in Pillow.
        library: name of the library in `PIL.features`.
        options: function that turns a setting into options of `Image.save`.
        tag: description of these options in the version.
    """

    name: str
    format: str
    library: str
    knob: str
    settings: tuple[float, ...]
    options: Callable[[float], dict[str, Any]]
    tag: str

    def version(self) -> str:
        """Returns the versions of the library that Pillow was built with, of the encoder within it, and of Pillow."""
        found = features.version(self.library)
        if found is None:
            raise ImportError(f"this Pillow was built without {self.library}")
        encoder = f" ({_avif_encoder()})" if self.format == "AVIF" else ""
        return f"{self.library} {found}{encoder}, Pillow {package_version('pillow')}; {self.tag}"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the file that `Image.save` writes."""
        file = BytesIO()
        Image.fromarray(pixels).save(file, self.format, **self.options(setting))
        return file.getvalue()


@dataclass(frozen=True)
class TrellisJpeg(ImageCodec):
    """JPEG with trellis quantisation, mozjpeg's own quantisation table and optimised progressive scans, by libvips."""

    name: str = "jpeg-trellis"
    knob: str = "q"
    settings: tuple[float, ...] = (8, 13, 21, 32, 48, 70)

    def version(self) -> str:
        """Returns the version of libvips."""
        import pyvips

        return (
            "libvips "
            + ".".join(str(pyvips.version(part)) for part in range(3))
            + "; trellis, deringing, quantisation table 3, progressive"
        )

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the file that `jpegsave_buffer` writes."""
        import pyvips

        height, width, channels = pixels.shape
        image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels).data, width, height, channels, "uchar")
        scans = {"optimize_scans": True, "optimize_coding": True, "interlace": True}
        options: dict[str, Any] = {"trellis_quant": True, "overshoot_deringing": True, "quant_table": _TRELLIS_QUANT_TABLE, **scans}
        data: bytes = image.jpegsave_buffer(Q=int(setting), keep="none", **options)
        return data


@dataclass(frozen=True)
class JpegXl(ImageCodec):
    """JPEG XL by libjxl, effort 7; the setting is the distance, in just noticeable differences."""

    name: str = "jpeg-xl"
    knob: str = "d"
    settings: tuple[float, ...] = (25, 15, 9, 5.5, 3.3, 2)

    def version(self) -> str:
        """Returns the version of libjxl."""
        import imagecodecs

        return f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}; effort 7"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the file that `jpegxl_encode` writes."""
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(pixels, distance=setting, effort=7))

    def decode(self, data: bytes) -> Pixels:
        """Returns the picture that `jpegxl_decode` reads."""
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(data))


@dataclass(frozen=True)
class Heic(ImageCodec):
    """HEIC by libheif and x265 with libheif's own preset and tuning: slow, for structural similarity."""

    name: str = "heic"
    knob: str = "q"
    settings: tuple[float, ...] = (5, 12, 19, 26, 34, 44)

    def version(self) -> str:
        """Returns the versions of x265, libheif and pillow-heif."""
        import pillow_heif

        encoder = pillow_heif.libheif_info()["HEIF"]
        return f"{encoder}, libheif {pillow_heif.libheif_version()}, pillow-heif {package_version('pillow-heif')}"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the file that `HeifFile.save` writes."""
        import pillow_heif

        height, width, _ = pixels.shape
        file = BytesIO()
        pillow_heif.from_bytes("RGB", (width, height), pixels.tobytes()).save(file, quality=int(setting))
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """Returns the picture that `open_heif` reads."""
        import pillow_heif

        return np.asarray(pillow_heif.open_heif(BytesIO(data)).to_pillow().convert("RGB"))


@dataclass(frozen=True)
class Vvc(ImageCodec):
    """H.266 intra by libvvenc, preset medium, without its perceptual weighting: full-range BT.709, 10 bits, 4:2:0.

    The file is a raw stream, which is smaller than one with a container would be. Its sides are multiples of 8; the 4 bytes before it hold
    the sides of the picture.
    """

    name: str = "vvc"
    knob: str = "qp"
    settings: tuple[float, ...] = (47, 43, 39, 36, 33, 30)

    def version(self) -> str:
        """Returns the versions of libvvenc and of the ffmpeg that holds it."""
        import imageio_ffmpeg

        if b"libvvenc" not in _ffmpeg("-hide_banner", "-encoders"):
            raise ImportError("this ffmpeg was built without libvvenc")
        found = re.search(rb"VVC Encoder, version ([\w.-]+)", Path(imageio_ffmpeg.get_ffmpeg_exe()).read_bytes())
        encoder = f"libvvenc {found[1].decode()}" if found else "libvvenc"
        return f"{encoder}, {_ffmpeg('-version').split(b' Copyright')[0].decode()}; preset medium, qpa 0"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """Returns the stream that ffmpeg writes, behind the sides of the picture.

        Raises:
            ValueError: A side is longer than 65535 pixels.
        """
        height, width, _ = pixels.shape
        if max(height, width) > _MAX_VVC_SIDE_PX:
            raise ValueError(f"a picture of {width}x{height} pixels; sides of at most {_MAX_VVC_SIDE_PX} were expected")
        padded = np.pad(pixels, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{padded.shape[1]}x{padded.shape[0]}", "-i", "-")
        colours = ("-vf", "scale=out_color_matrix=bt709:out_range=full:flags=accurate_rnd+full_chroma_int", "-pix_fmt", "yuv420p10le")
        coder = ("-c:v", "libvvenc", "-preset", "medium", "-qp", f"{setting:g}", "-qpa", "0", "-f", "vvc", "-")
        stream = _ffmpeg(*source, *colours, *coder, data=padded.tobytes())
        return struct.pack("<HH", width, height) + stream

    def decode(self, data: bytes) -> Pixels:
        """Returns the picture that ffmpeg's own decoder reads."""
        width, height = struct.unpack("<HH", data[:4])
        colours = ("-vf", "scale=in_color_matrix=bt709:in_range=full:flags=accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24")
        pixels = _ffmpeg("-f", "vvc", "-i", "-", *colours, "-f", "rawvideo", "-", data=data[4:])
        padded = np.frombuffer(pixels, np.uint8).reshape(height + -height % 8, width + -width % 8, 3)
        return np.ascontiguousarray(padded[:height, :width])


def _ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    """Returns what ffmpeg writes to its output for this input."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _avif_encoder() -> str:
    """Returns the name and version of the AVIF encoder that Pillow was built with."""
    from PIL import _avif

    return next((part for part in _avif.codec_versions().split(", ") if "[enc]" in part), "no encoder")


def _jpeg_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "optimize": True}


def _webp_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "method": 6}


def _avif_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "speed": 4}


def _avif_psnr_options(quality: float) -> dict[str, Any]:
    return {**_avif_options(quality), "subsampling": "4:4:4", "advanced": {"tune": "psnr"}}


def _jpeg_2000_options(ratio: float) -> dict[str, Any]:
    return {"irreversible": True, "mct": 1, "quality_mode": "rates", "quality_layers": [ratio]}


OTHERS: Final[tuple[ImageCodec, ...]] = (
    PillowCodec("jpeg", "JPEG", "libjpeg_turbo", "q", (6, 10, 16, 25, 40, 65), _jpeg_options, "baseline, optimised tables"),
    TrellisJpeg(),
    PillowCodec("webp", "WEBP", "webp", "q", (0, 5, 15, 30, 50, 70), _webp_options, "method 6"),
    PillowCodec("jpeg-2000", "JPEG2000", "jpg_2000", "ratio", (300, 150, 90, 55, 35, 22), _jpeg_2000_options, "irreversible"),
    PillowCodec("avif", "AVIF", "avif", "q", (6, 14, 22, 32, 44, 58), _avif_options, "speed 4"),
    PillowCodec("avif-psnr", "AVIF", "avif", "q", (4, 10, 18, 28, 38, 50), _avif_psnr_options, "speed 4, 4:4:4, tune psnr"),
    JpegXl(),
    Heic(),
    Vvc(),
)
"""Codecs of others that are compared by default."""
