"""What the page can do with a picture or a .vq file, in the worker process."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.codec.inspection import Inspection, inspect_file
from vqcodec.compare.codecs import ImageCodec
from vqcodec.compare.others import OTHERS, PillowCodec
from vqcodec.compare.selection import codec_named
from vqcodec.decoding.files import DecodedFile, decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_controlled
from vqcodec.errors import ImageError, VqcodecError
from vqcodec.format.container import MAGIC, bits_per_pixel
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import Picture, picture_to_pil, read_picture
from vqcodec.images.writing import picture_file
from vqcodec.models.model import load_model
from vqcodec.nn.progress import OnProgress, no_progress
from vqcodec.rate.control import RateControl
from vqcodec.rate.options import LayerOptions
from vqcodec.serve.protocol import Event, Made, Progress, Task

Tell = Callable[[Event], None]
"""Function that is told what becomes of a task; it raises where nobody waits for it any more."""

PEER_QUALITIES: Final = range(101)
_QUICK_PNG: Final = {"compress_level": 1}
_SHOWN_PX: Final = 1200
"""Longest side of pictures that explain; those that are compared are shown whole."""


@dataclass(frozen=True)
class Coded:
    """A .vq file of an upload.

    Attributes:
        data: bytes of the file.
        decoded: its codes.
    """

    data: bytes
    decoded: DecodedFile


class Studio:
    """A loaded model, and the last picture and file that it worked on.

    Args:
        model: id or folder of the model.
        device: device of the networks.
        max_pixels: most pixels of a picture, checked before any is decoded.

    Raises:
        ModelError: The model cannot be used.
    """

    def __init__(self, model: str, device: str, max_pixels: int) -> None:
        self.model = load_model(model, device)
        self.max_pixels = max_pixels
        self._last_picture: tuple[str, Picture] | None = None
        self._last_coded: tuple[tuple[str, float, str], Coded] | None = None

    def warm_up(self) -> None:
        """Encodes and paints a few pixels, so that all parts of the model are loaded when the first task comes."""
        rate, options = RateControl(quality=100), LayerOptions("off", layers=False)
        (file,) = encode_controlled([Picture(np.zeros((64, 64, 3), np.uint8))], self.model, rate=rate, options=options)
        paint([self._opened(file.data, no_progress).decoded])

    def work(self, task: Task, tell: Tell) -> dict[str, Any]:
        """Does a task.

        Args:
            task: the task.
            tell: function that is told of progress and of files that were made.

        Returns:
            What was found out, in the types of JSON.

        Raises:
            VqcodecError: The upload is refused, or what is asked for cannot be done.
        """
        if not task.data:
            raise ImageError("the file is empty")
        return {"code": self._code, "peer": self._peer, "inside": self._inside}[task.kind](task, tell)

    def _code(self, task: Task, tell: Tell) -> dict[str, Any]:
        original = None if is_coded(task.data) else self._picture(task, tell)
        coded = self._coded(task, original, tell)
        header = coded.decoded.file.header
        (picture,) = paint([coded.decoded], realism=task.realism, on_progress=_part(tell, "Painting", 0.6, 0.9))
        tell(Progress(0.9, "Writing the PNG"))
        written = picture_file(picture, ".png")
        name = f"{_settings_name(task)}-r{task.realism:g}.png"
        tell(Made(name, "image/png", written.data))
        facts = {
            "width": header.width,
            "height": header.height,
            "num_bytes": len(coded.data),
            "bpp": bits_per_pixel(len(coded.data), header.width, header.height),
            "num_maps": len(header.maps),
            "model": self.model.config.id,
            "picture": name,
            "notes": [*written.notes],
        }
        if original is None:
            return facts | {"vq": "upload"}
        notes = [*filter(None, (original.colour_note,)), *original.notes, *written.notes]
        vq = f"{_settings_name(task)}.vq"
        tell(Made(vq, "application/octet-stream", coded.data))
        psnr = _json_psnr(original.rgb, picture.rgb)
        return facts | {"vq": vq, "original": "original.png", "quality": task.quality, "psnr_db": psnr, "notes": notes}

    def _peer(self, task: Task, tell: Tell) -> dict[str, Any]:
        original = self._picture(task, tell)
        codec = codec_named(task.peer, OTHERS)
        quality, data = largest_within(codec, original.rgb, task.num_bytes, lambda share: tell(Progress(share, f"Trying {task.peer}")))
        pixels = codec.decode(data)
        name = f"{task.peer}-{task.num_bytes}.png"
        tell(Made(name, "image/png", _png(Picture(pixels, original.alpha, original.icc_profile))))
        height, width = pixels.shape[:2]
        bpp = bits_per_pixel(len(data), width, height)
        return {"picture": name, "num_bytes": len(data), "bpp": bpp, "psnr_db": _json_psnr(original.rgb, pixels), "quality": quality}

    def _inside(self, task: Task, tell: Tell) -> dict[str, Any]:
        original = None if is_coded(task.data) else self._picture(task, tell)
        coded = self._coded(task, original, tell)
        prefix = f"{_settings_name(task)}-r{task.realism:g}"
        found = inspect_file(
            coded.data, self.model, realism=task.realism, max_pixels=self.max_pixels, on_progress=_part(tell, "Looking inside", 0.4, 0.7)
        )
        shown = {"heat": _reduced(found.heat)}
        if found.exact.any():
            shown["exact"] = _reduced(found.exact_picture)
        shown |= {f"map{number}": image for number, image in enumerate(found.maps)}
        for name, image in shown.items():
            tell(Made(f"{prefix}-{name}.png", "image/png", _image_png(image)))
        steps = self._steps(task, coded, prefix, tell)
        return {**_described(found), **{name: f"{prefix}-{name}.png" for name in shown}, "steps": steps}

    def _steps(self, task: Task, coded: Coded, prefix: str, tell: Tell) -> list[str]:
        """Paints the picture from its first map, from the first two, and so on; returns the names of the files."""
        num_maps = len(coded.decoded.indices)
        names = []
        for count in range(1, num_maps + 1):
            share = 0.7 + 0.3 * (count - 1) / num_maps
            part = DecodedFile(coded.decoded.file, coded.decoded.indices[:count])
            told = _part(tell, f"Painting from {count} of {num_maps} maps", share, share + 0.3 / num_maps)
            (picture,) = paint([part], realism=task.realism, on_progress=told)
            names.append(f"{prefix}-step{count}.png")
            tell(Made(names[-1], "image/png", _image_png(_reduced(picture_to_pil(picture)))))
        return names

    def _picture(self, task: Task, tell: Tell) -> Picture:
        """Returns the picture of an upload, and shows it."""
        if self._last_picture is None or self._last_picture[0] != task.file:
            self._last_picture = None
            tell(Progress(0, "Reading the picture"))
            picture = read_picture(BytesIO(task.data), name="picture", max_pixels=self.max_pixels, first_frame=True, tone_map=True)
            tell(Made("original.png", "image/png", _png(picture)))
            self._last_picture = task.file, picture
        return self._last_picture[1]

    def _coded(self, task: Task, original: Picture | None, tell: Tell) -> Coded:
        """Returns the .vq file of an upload, which is the upload itself where there is no original, and its codes."""
        key = (task.file, 0.0, "") if original is None else (task.file, task.quality, task.tune)
        if self._last_coded is None or self._last_coded[0] != key:
            self._last_coded = None
            tell(Progress(0.05, "Decoding" if original is None else "Encoding"))
            told = _part(tell, "Decoding" if original is None else "Encoding", 0.05, 0.6)
            if original is None:
                coded = self._opened(task.data, told)
            else:
                rate = RateControl(quality=task.quality, tune=task.tune)  # type: ignore[arg-type]
                file = encode_controlled([original], self.model, rate=rate, on_progress=told)[0].or_raise()
                opened = open_file(file.data, model=self.model, max_pixels=self.max_pixels)
                coded = Coded(file.data, DecodedFile(opened, list(file.indices)))
            self._last_coded = key, coded
        return self._last_coded[1]

    def _opened(self, data: bytes, on_progress: OnProgress) -> Coded:
        opened = open_file(data, model=self.model, max_pixels=self.max_pixels)
        return Coded(data, decode_codes([opened], on_progress=on_progress)[0].or_raise())


def is_coded(data: bytes) -> bool:
    """Tells whether an upload is a .vq file, or begins like one."""
    return data.startswith(MAGIC)


def largest_within(codec: ImageCodec, rgb: NDArray[np.uint8], max_bytes: int, on_progress: OnProgress) -> tuple[int, bytes]:
    """Encodes a picture by another codec at the best quality whose file has at most `max_bytes`, or at the least where all have more.

    AVIF is searched at its fastest, and from what is found there at its own speed, since files of the two differ by little.

    Args:
        codec: a codec whose setting is a quality of 0..100, by which its files grow.
        rgb: uint8 [H, W, 3].
        max_bytes: most bytes of the file.
        on_progress: function that is told how far the search is.

    Returns:
        The quality and the file.

    Raises:
        VqcodecError: The codec cannot encode the picture.
    """
    best = PEER_QUALITIES[-1]
    num_tries = best.bit_length() + 3

    def counted(encoder: ImageCodec, quality: int) -> bytes:
        on_progress(min(encoded.cache_info().currsize / num_tries, 1))
        return encoder.encode(rgb, quality)

    encoded = cache(counted)
    quick = replace(codec, options=_quick_avif) if isinstance(codec, PillowCodec) and codec.format == "AVIF" else codec
    try:
        quality = max(bisect_right(PEER_QUALITIES, max_bytes, key=lambda quality: len(encoded(quick, quality))) - 1, 0)
        while quality < best and len(encoded(codec, quality + 1)) <= max_bytes:
            quality += 1
        while quality > 0 and len(encoded(codec, quality)) > max_bytes:
            quality -= 1
        return quality, encoded(codec, quality)
    except (OSError, ValueError, SystemError) as error:
        height, width = rgb.shape[:2]
        raise VqcodecError(f"{codec.name} cannot hold a picture of {width}x{height} pixels: {' '.join(str(error).split())}") from error


def _quick_avif(quality: float) -> dict[str, Any]:
    return {"quality": int(quality), "speed": 9}


def _part(tell: Tell, step: str, start: float, end: float) -> OnProgress:
    """Returns what tells of a step that goes from one share of the work to another."""
    return lambda share: tell(Progress(start + (end - start) * min(share, 1.0), step))


def _described(found: Inspection) -> dict[str, Any]:
    """Returns what the page says of the bytes of a file."""
    maps = [{"name": entry.name, "width": entry.width, "height": entry.height, "bits": entry.bits_per_code} for entry in found.info.maps]
    return {"maps": maps, "parts": found.parts(), "most_bits": found.most_bits, "exact_share": float(found.exact.mean())}


def _settings_name(task: Task) -> str:
    return "upload" if is_coded(task.data) else f"q{task.quality:g}-{task.tune}"


def _json_psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | str:
    """Returns a PSNR in dB; that of equal pictures is "Infinity", since JSON has no such number."""
    psnr = psnr_db(a, b)
    return psnr if np.isfinite(psnr) else "Infinity"


def _png(picture: Picture) -> bytes:
    """Returns a PNG of a picture's pixels, alpha plane and colours that is made fast."""
    return _image_png(picture_to_pil(Picture(picture.pixels, picture.alpha, picture.icc_profile)))


def _image_png(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", icc_profile=image.info.get("icc_profile"), **_QUICK_PNG)
    return out.getvalue()


def _reduced(image: Image.Image) -> Image.Image:
    """Returns an image of at most `_SHOWN_PX` pixels a side."""
    reduced = image.copy()
    reduced.thumbnail((_SHOWN_PX, _SHOWN_PX), reducing_gap=2.0)
    return reduced
