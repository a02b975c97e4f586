"""Functions that open a model for a single call."""

from collections.abc import Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vqcodec.codec.loaded import Codec, open_model
from vqcodec.decoding.files import DecodeOptions, decode_files
from vqcodec.decoding.painting import PaintOptions, decode_pictures
from vqcodec.decoding.reader import Reader
from vqcodec.encoding.options import EncodeOptions
from vqcodec.errors import FormatError
from vqcodec.format.limits import read_to_end
from vqcodec.images.picture import ImageLike, picture_to_pil
from vqcodec.models.model import Model
from vqcodec.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vqcodec.codec.inspection import Inspection


def _as_codec(model: str | Path | Codec, device: str) -> Codec:
    if not isinstance(model, Codec):
        return open_model(model, device=device)
    if device not in ("auto", model.model.device):
        raise ValueError(f"device must be auto where an opened model is given, which is on {model.model.device}, not {device!r}")
    return model


def _as_model(model: str | Path | Codec | None, device: str) -> Model | None:
    return None if model is None else _as_codec(model, device).model


def encode(image: ImageLike, *, model: str | Path | Codec = DEFAULT_MODEL, device: str = "auto", **options: Unpack[EncodeOptions]) -> bytes:
    """Encodes one image into the bytes of a .vq file.

    Args:
        image: Pillow image; uint8 array [H, W], [H, W, 3] or [H, W, 4]; torch uint8 tensor [3, H, W]; path or open binary file.
        model: id of an installed model, a model folder, or an opened model.
        device: "auto", "cpu" or "cuda", for a model that is not opened yet.
        options: quality=1..100 (50 by default), or num_maps=, max_bytes= or target_bpp= in its place; rate_weight=; tune="iq", "psnr" or
            "perceptual"; coder="raw", "static" or "prior"; verify=True; strip=; tone_map=True; first_frame=True;
            max_pixels=; exact="auto", "off" or "all"; layers=False. `Codec.encode` describes them.

    Raises:
        VqcodecError: The image cannot be encoded faithfully or within the limit, or the model cannot be used.
        MemoryError: Memory does not hold the image.
        TypeError, ValueError: An argument is not as described.
    """
    return _as_codec(model, device).encode(image, **options)


def encode_batch(
    images: Sequence[ImageLike],
    *,
    model: str | Path | Codec = DEFAULT_MODEL,
    device: str = "auto",
    batch_size: int | None = None,
    **options: Unpack[EncodeOptions],
) -> list[bytes]:
    """Encodes images, those of equal padded size together; arguments and errors are those of `encode` and `Codec.encode_batch`."""
    return _as_codec(model, device).encode_batch(images, batch_size=batch_size, **options)


def decode(data: bytes, *, model: str | Path | Codec | None = None, device: str = "auto", **options: Unpack[PaintOptions]) -> Image.Image:
    """Decodes a .vq file into a Pillow image of mode L, LA, RGB or RGBA.

    Args:
        data: bytes of the file.
        model: id of an installed model, a model folder, or an opened model; None for the installed one that the file names.
        device: "auto", "cpu" or "cuda", for a model that is not opened yet.
        options: realism=0..1 (0 by default), max_maps=, allow_truncated=True, fill="sample" or "mode", seed=, layers=False,
            region=(left, top, width, height), max_pixels=. `Codec.decode` describes them.

    Raises:
        VqcodecError: The bytes are not an intact .vq file, or the model cannot be used or is not the file's.
        MemoryError: Memory does not hold the picture.
        TypeError, ValueError: An argument is not as described.
    """
    return decode_batch([data], model=model, device=device, **options)[0]


def decode_batch(
    files: Sequence[bytes],
    *,
    model: str | Path | Codec | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    **options: Unpack[PaintOptions],
) -> list[Image.Image]:
    """Decodes files, those of one model and of equal padded size together; arguments and errors are those of `decode`."""
    pictures = decode_pictures(files, _as_model(model, device), device, batch_size=batch_size, **options)
    return [picture_to_pil(picture) for picture in pictures]


def decode_indices(
    data: bytes, *, model: str | Path | Codec | None = None, device: str = "auto", **options: Unpack[DecodeOptions]
) -> list[NDArray[np.int64]]:
    """Decodes the index maps of a .vq file, int64 [h, w] each, top first; no pixel is painted.

    The arguments and errors are those of `decode`, without realism, layers and region.
    """
    return decode_files([data], _as_model(model, device), device, **options)[0].indices


def decode_indices_batch(
    files: Sequence[bytes], *, model: str | Path | Codec | None = None, device: str = "auto", **options: Unpack[DecodeOptions]
) -> list[list[NDArray[np.int64]]]:
    """Decodes the index maps of several files, those of one model together; arguments and errors are those of `decode_indices`."""
    return [decoded.indices for decoded in decode_files(files, _as_model(model, device), device, **options)]


def inspect(
    data: bytes, *, model: str | Path | Codec | None = None, device: str = "auto", realism: float = 0.0, max_pixels: int | None = None
) -> "Inspection":
    """Decodes a .vq file, and shows what its bytes are spent on: its maps in colour, bits by place, exact pixels.

    A notebook shows the result as one picture, which `Inspection.sheet` returns. The arguments and errors are those of `decode`.
    """
    from vqcodec.codec.inspection import inspect_file

    return inspect_file(data, _as_model(model, device), device, realism=realism, max_pixels=max_pixels)


def open(  # noqa: A001 (as gzip.open)
    file: str | PathLike[str] | BinaryIO,
    *,
    model: str | Path | Codec | None = None,
    device: str = "auto",
    realism: float = 0.0,
    layers: bool = True,
    max_pixels: int | None = None,
) -> Reader:
    """Opens a .vq file to read regions of it, of which no more is read and decoded than they need.

    Args:
        file: path of a file, or an object with `read` and `seek` that gives bytes; of a pipe, all bytes are read.
        model: id of an installed model, a model folder, or an opened model; None for the installed one that the file names.
        device: "auto", "cpu" or "cuda", for a model that is not opened yet.
        realism: 0 for the picture closest to the original, 1 for one that looks most like a photo, or between.
        layers: whether what the file says in another way than by codes is shown.
        max_pixels: most pixels that a read decodes, checked before any are: of the region, at full size where a smaller level is read; of
            all exact patches together that it overlaps; or of the picture where alpha or AVIF is decoded as a whole. None for the limits
            that `Codec.decode` has then.

    Raises:
        VqcodecError: There is no such file, its header or layers are damaged, it is cut, or its model cannot be used.
        TypeError, ValueError: An argument is not as described.
    """
    opened = _as_model(model, device)
    if not isinstance(file, str | PathLike):
        if not (hasattr(file, "read") and hasattr(file, "seek")):
            raise TypeError(f"file must be a path or an object with read and seek, not {type(file).__name__}")
        if not getattr(file, "readable", lambda: True)():
            raise ValueError("file must be open for reading")
        source = file if getattr(file, "seekable", lambda: True)() else BytesIO(read_to_end(file))
        return Reader(source, model=opened, device=device, realism=realism, layers=layers, max_pixels=max_pixels)
    stream = _opened(file)
    try:
        return Reader(stream, model=opened, device=device, realism=realism, layers=layers, max_pixels=max_pixels, owns_file=True)
    except BaseException:
        stream.close()
        raise


def _opened(path: str | PathLike[str]) -> BinaryIO:
    """Returns an open file in which one can seek, of the bytes of a pipe too.

    Raises:
        FormatError: It cannot be opened or read.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 (the reader closes it)
        if file.seekable():
            return file
        with file:
            return BytesIO(read_to_end(file))
    except OSError as error:
        raise FormatError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def paint_indices(
    indices: Sequence[NDArray[np.integer]],
    size: tuple[int, int],
    *,
    model: str | Path | Codec = DEFAULT_MODEL,
    device: str = "auto",
    realism: float = 0.0,
) -> Image.Image:
    """Paints index maps; the arguments and errors are those of `Codec.paint` and `encode`."""
    return _as_codec(model, device).paint(indices, size, realism=realism)
