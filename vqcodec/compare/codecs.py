"""Image codecs behind one protocol, each with settings that are fair to it: as slow as people would bear for an archive.

All take and give uint8 RGB [H, W, 3], and all bytes of a file count. Colour subsampling is each library's default (bench/README.md says
which).
"""

import re
import struct
import subprocess
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version as package_version
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

import vqcodec
from vqcodec.decoding import decode_file, paint
from vqcodec.encoding import encode_controlled
from vqcodec.errors import ModelError, or_raise
from vqcodec.format.container import FORMAT_VERSION, CoderKind
from vqcodec.images.picture import Picture
from vqcodec.models.registry import DEFAULT_MODEL, Model, load_painter, open_model
from vqcodec.rate.control import RateControl, Tune

Pixels = NDArray[np.uint8]

_TRELLIS_QUANT_TABLE: Final = 3
"""That of N. Robidoux, mozjpeg's own default; libvips's default is the table of the JPEG standard's annex."""


_MAX_VVC_SIDE_PX: Final = 0xFFFF


class Codec(ABC):
    """One codec.

    Attributes:
        name: in results and plots.
        knob: what a setting turns, as its prefix in results: `q` gives `q30`.
        settings: from few bytes to many.
    """

    name: str
    knob: str
    settings: tuple[float, ...]

    @abstractmethod
    def version(self) -> str:
        """Of the library that does the work.

        Raises:
            ImportError: something is not installed.
        """

    @abstractmethod
    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """A whole file."""

    def decode(self, data: bytes) -> Pixels:
        """The picture that a file holds; by Pillow, unless a codec says otherwise."""
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def label(self, setting: float) -> str:
        """A setting in results."""
        return f"{self.knob}{setting:g}"


@dataclass(frozen=True)
class PillowCodec(Codec):
    """A format that Pillow writes; `options` turns a setting into those of `Image.save`, `tag` says what they are in its version."""

    name: str
    format: str
    library: str
    knob: str
    settings: tuple[float, ...]
    options: Callable[[float], dict[str, Any]]
    tag: str

    def version(self) -> str:
        """Of the library that Pillow was built with, and of the encoder within it."""
        found = features.version(self.library)
        if found is None:
            raise ImportError(f"this Pillow was built without {self.library}")
        encoder = f" ({_avif_encoder()})" if self.format == "AVIF" else ""
        return f"{self.library} {found}{encoder}, Pillow {package_version('pillow')}; {self.tag}"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By `Image.save`."""
        file = BytesIO()
        Image.fromarray(pixels).save(file, self.format, **self.options(setting))
        return file.getvalue()


class TrellisJpeg(Codec):
    """JPEG with trellis quantisation, mozjpeg's own quantisation table and optimised progressive scans, by libvips."""

    name = "jpeg-trellis"
    knob = "q"
    settings = (8, 13, 21, 32, 48, 70)

    def version(self) -> str:
        """Of libvips."""
        import pyvips

        return (
            "libvips "
            + ".".join(str(pyvips.version(part)) for part in range(3))
            + "; trellis, deringing, quantisation table 3, progressive"
        )

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By `jpegsave_buffer`."""
        import pyvips

        height, width, channels = pixels.shape
        image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels).data, width, height, channels, "uchar")
        scans = {"optimize_scans": True, "optimize_coding": True, "interlace": True}
        options: dict[str, Any] = {"trellis_quant": True, "overshoot_deringing": True, "quant_table": _TRELLIS_QUANT_TABLE, **scans}
        data: bytes = image.jpegsave_buffer(Q=int(setting), keep="none", **options)
        return data


class JpegXl(Codec):
    """JPEG XL by libjxl, effort 7; the setting is the distance, in just noticeable differences."""

    name = "jpeg-xl"
    knob = "d"
    settings = (25, 15, 9, 5.5, 3.3, 2)

    def version(self) -> str:
        """Of libjxl."""
        import imagecodecs

        return f"{imagecodecs.jpegxl_version()}, imagecodecs {imagecodecs.__version__}; effort 7"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By `jpegxl_encode`."""
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(pixels, distance=setting, effort=7))

    def decode(self, data: bytes) -> Pixels:
        """By `jpegxl_decode`."""
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(data))


class Heic(Codec):
    """HEIC by libheif and x265 with libheif's own preset and tuning: slow, for structural similarity."""

    name = "heic"
    knob = "q"
    settings = (5, 12, 19, 26, 34, 44)

    def version(self) -> str:
        """Of x265 and libheif."""
        import pillow_heif

        encoder = pillow_heif.libheif_info()["HEIF"]
        return f"{encoder}, libheif {pillow_heif.libheif_version()}, pillow-heif {package_version('pillow-heif')}"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By `HeifFile.save`."""
        import pillow_heif

        height, width, _ = pixels.shape
        file = BytesIO()
        pillow_heif.from_bytes("RGB", (width, height), pixels.tobytes()).save(file, quality=int(setting))
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """By `open_heif`."""
        import pillow_heif

        return np.asarray(pillow_heif.open_heif(BytesIO(data)).to_pillow().convert("RGB"))


class Vvc(Codec):
    """H.266 intra by libvvenc, preset medium, without its perceptual weighting: full-range BT.709, 10 bits, 4:2:0.

    A raw stream, which is smaller than a file with a container would be, and whose sides are multiples of 8; 4 bytes before it hold those
    of the picture.
    """

    name = "vvc"
    knob = "qp"
    settings = (47, 43, 39, 36, 33, 30)

    def version(self) -> str:
        """Of libvvenc and the ffmpeg that holds it."""
        import imageio_ffmpeg

        if b"libvvenc" not in _ffmpeg("-hide_banner", "-encoders"):
            raise ImportError("this ffmpeg was built without libvvenc")
        found = re.search(rb"VVC Encoder, version ([\w.-]+)", Path(imageio_ffmpeg.get_ffmpeg_exe()).read_bytes())
        encoder = f"libvvenc {found[1].decode()}" if found else "libvvenc"
        return f"{encoder}, {_ffmpeg('-version').split(b' Copyright')[0].decode()}; preset medium, qpa 0"

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By ffmpeg, through pipes."""
        height, width, _ = pixels.shape
        if max(height, width) > _MAX_VVC_SIDE_PX:
            raise ValueError(f"sides of at most {_MAX_VVC_SIDE_PX} pixels, not {width}x{height}")
        padded = np.pad(pixels, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{padded.shape[1]}x{padded.shape[0]}", "-i", "-")
        colours = ("-vf", "scale=out_color_matrix=bt709:out_range=full:flags=accurate_rnd+full_chroma_int", "-pix_fmt", "yuv420p10le")
        coder = ("-c:v", "libvvenc", "-preset", "medium", "-qp", f"{setting:g}", "-qpa", "0", "-f", "vvc", "-")
        stream = _ffmpeg(*source, *colours, *coder, data=padded.tobytes())
        return struct.pack("<HH", width, height) + stream

    def decode(self, data: bytes) -> Pixels:
        """By ffmpeg's own decoder."""
        width, height = struct.unpack("<HH", data[:4])
        colours = ("-vf", "scale=in_color_matrix=bt709:in_range=full:flags=accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24")
        pixels = _ffmpeg("-f", "vvc", "-i", "-", *colours, "-f", "rawvideo", "-", data=data[4:])
        padded = np.frombuffer(pixels, np.uint8).reshape(height + -height % 8, width + -width % 8, 3)
        return np.ascontiguousarray(padded[:height, :width])


def _ffmpeg(*arguments: str, data: bytes = b"") -> bytes:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@dataclass(frozen=True)
class Vqcodec(Codec):
    """vqcodec itself, along its dial or by numbers of maps; `rate_weight` and `tune` are of `RateControl`, the rest of encode, decode."""

    name: str = "vqcodec"
    model_id: str = DEFAULT_MODEL
    rate_weight: float | None = None
    coder: CoderKind | None = None
    realism: float = 0.0
    tune: Tune = "iq"
    knob: str = "q"
    settings: tuple[float, ...] = (1, 4, 7, 8, 22, 36, 50, 63, 76, 88, 100)

    @cached_property
    def _model(self) -> Model:
        return open_model(self.model_id)

    def version(self) -> str:
        """Of vqcodec, its model, and the dial and the decoder that are used; ImportError where the model lacks the latter."""
        model = self._model
        try:
            load_painter(model, self.realism)
            RateControl(tune=self.tune).operating_point(model.config)
        except ModelError as error:
            raise ImportError(str(error)) from error
        parts = [f"vqcodec {vqcodec.__version__}", f"format {FORMAT_VERSION}", f"{model.config.id} {model.config.weights_sha256[:8]}"]
        if self.knob == "q":
            dial = model.config.perceptual_dial if self.tune == "perceptual" else model.config.dial
            parts.append(f"dial {zlib.crc32(repr(dial).encode()):08x}")
        if self.realism and model.config.perceptual_sha256:
            parts.append(f"perceptual {model.config.perceptual_sha256[:8]}")
        if model.device.type != "cpu":
            parts.append(model.device.type)
        return ", ".join(parts)

    def encode(self, pixels: Pixels, setting: float) -> bytes:
        """By `encode_controlled`."""
        values = {"quality" if self.knob == "q" else "num_maps": int(setting)}
        rate = RateControl(**values, rate_weight=self.rate_weight, tune=self.tune)
        (file,) = encode_controlled([Picture(pixels)], self._model, rate=rate, coder=self.coder)
        return or_raise(file).data

    def decode(self, data: bytes) -> Pixels:
        """By `decode_file` and `paint`."""
        (picture,) = paint([decode_file(data)], realism=self.realism)
        return picture.rgb


def _avif_encoder() -> str:
    from PIL import _avif

    return next((part for part in _avif.codec_versions().split(", ") if "[enc]" in part), "no encoder")


def _jpeg_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "optimize": True}


def _avif_options(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "speed": 4}


def _avif_psnr_options(quality: float) -> dict[str, Any]:
    return {**_avif_options(quality), "subsampling": "4:4:4", "advanced": {"tune": "psnr"}}


def _jpeg_2000_options(ratio: float) -> dict[str, Any]:
    return {"irreversible": True, "mct": 1, "quality_mode": "rates", "quality_layers": [ratio]}


CODECS: Final[tuple[Codec, ...]] = (
    Vqcodec(),
    Vqcodec("vqcodec-psnr", tune="psnr", settings=(8, 22, 36, 50, 63, 76, 88, 100)),
    Vqcodec("vqcodec-perceptual", realism=1.0, tune="perceptual", settings=(7, 8, 20, 33, 47, 61, 62, 76, 88)),
    Vqcodec("vqcodec-nearest", rate_weight=0.0, knob="maps", settings=(1, 2, 3, 4)),
    Vqcodec("vqcodec-static", rate_weight=0.0, coder=CoderKind.STATIC, knob="maps", settings=(1, 2, 3, 4)),
    Vqcodec("vqcodec-raw", rate_weight=0.0, coder=CoderKind.RAW, knob="maps", settings=(1, 2, 3, 4)),
    PillowCodec("jpeg", "JPEG", "libjpeg_turbo", "q", (6, 10, 16, 25, 40, 65), _jpeg_options, "baseline, optimised tables"),
    TrellisJpeg(),
    PillowCodec("webp", "WEBP", "webp", "q", (0, 5, 15, 30, 50, 70), lambda quality: {"quality": int(quality), "method": 6}, "method 6"),
    PillowCodec("jpeg-2000", "JPEG2000", "jpg_2000", "ratio", (300, 150, 90, 55, 35, 22), _jpeg_2000_options, "irreversible"),
    PillowCodec("avif", "AVIF", "avif", "q", (6, 14, 22, 32, 44, 58), _avif_options, "speed 4"),
    PillowCodec("avif-psnr", "AVIF", "avif", "q", (4, 10, 18, 28, 38, 50), _avif_psnr_options, "speed 4, 4:4:4, tune psnr"),
    JpegXl(),
    Heic(),
    Vvc(),
)


def codec_named(name: str) -> Codec:
    """The codec of a name.

    Raises:
        ValueError: there is none.
    """
    known = {codec.name: codec for codec in CODECS}
    if name not in known:
        raise ValueError(f"no codec is called {name!r}; known are {', '.join(known)}")
    return known[name]


@dataclass(frozen=True)
class Selection:
    """Codecs that are installed, their versions, and why others are not used, by name."""

    codecs: list[Codec] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def select_codecs(names: Sequence[str] = ()) -> Selection:
    """The codecs of these names, each once, all by default, as far as they are installed.

    Raises:
        ValueError: a name that no codec has.
    """
    selection = Selection()
    for codec in [codec_named(name) for name in dict.fromkeys(names)] or CODECS:
        try:
            selection.versions[codec.name] = codec.version()
            selection.codecs.append(codec)
        except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            selection.skipped[codec.name] = str(error)
    return selection
