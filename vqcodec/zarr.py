"""The codec `vqcodec` of Zarr version 3, which stores chunks of pictures as .vq files.

    import zarr
    from vqcodec.zarr import VqCodec

    shape, chunks = (1000, 512, 512, 3), (1, 512, 512, 3)
    array = zarr.create_array("photos.zarr", shape=shape, chunks=chunks, dtype="uint8", serializer=VqCodec(quality=50), compressors=None)

It is lossy: what is read is not what was written, but a picture like it. Where vqcodec is installed, Zarr finds
it by an entry point when it opens an array.
"""

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

if find_spec("zarr") is None:
    raise ImportError("vqcodec.zarr needs the packages of the extra [zarr]: pip install 'vqcodec[zarr]'")

from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.registry import register_codec

from vqcodec.checks import checked_number
from vqcodec.format.container import MAX_PIXELS
from vqcodec.models.dial import DEFAULT_QUALITY, QUALITIES, TUNES, Tune
from vqcodec.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME: Final = "vqcodec"
"""The codec's name in zarr.json."""
_WORK: Final = Lock()
"""Held while a chunk is encoded or decoded: networks use all cores by themselves, and several chunks at a time would take more memory."""


@dataclass(frozen=True)
class VqCodec(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin):
    """Lossy codec of uint8 chunks [H, W] (grey) or [H, W, 3] (RGB), before which there may be axes of length 1.

    A part of a chunk is decoded in the time that the part takes, if no other codec follows. Writing a part of a chunk decodes and encodes
    the chunk, which loses a little more each time; so write whole chunks.

    Attributes:
        quality: place on the model's dial, 1..100, smallest to best.
        tune: "iq" for pictures that look right, "psnr" for the least squared error, "perceptual" for the decoder of realism 1.
        model: id of the installed model that encodes. Chunks name their model themselves, so reading does not depend on it.

    Raises:
        TypeError, ValueError: A value is not as described.
    """

    quality: float = DEFAULT_QUALITY
    tune: Tune = "iq"
    model: str = DEFAULT_MODEL

    is_fixed_size = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "quality", checked_number("quality", self.quality))
        if not 1 <= self.quality <= QUALITIES:
            raise ValueError(f"quality must be in 1..{QUALITIES}, not {self.quality!r}")
        if self.tune not in TUNES:
            raise ValueError(f"tune must be one of {', '.join(TUNES)}, not {self.tune!r}")
        if not isinstance(self.model, str):
            raise TypeError(f"model must be the id of a model, not {self.model!r}")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Returns the codec of an entry in zarr.json: an object with `name` and perhaps `configuration`.

        Raises:
            TypeError, ValueError: The configuration holds something else than quality, tune and model, or a wrong value of them.
        """
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """Returns the entry in zarr.json."""
        return {"name": NAME, "configuration": {"quality": self.quality, "tune": self.tune, "model": self.model}}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:  # noqa: ARG002 (as Zarr calls it)
        """Checks that the chunks of an array are pictures, which this lossy codec changes a little.

        Raises:
            ValueError: They are something else.
        """
        _check_chunk(dtype, chunk_grid.chunk_shape)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: "ArraySpec") -> int:
        """Raises `NotImplementedError`, since the size of a chunk depends on its picture."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: "NDBuffer", chunk_spec: "ArraySpec") -> "Buffer":
        picture = chunk_data.as_numpy_array().reshape(_check_chunk(chunk_spec.dtype, chunk_spec.shape))
        return chunk_spec.prototype.buffer.from_bytes(await asyncio.to_thread(self._encoded, np.ascontiguousarray(picture)))

    async def _decode_single(self, chunk_data: "Buffer", chunk_spec: "ArraySpec") -> "NDBuffer":
        picture = await asyncio.to_thread(_decoded, chunk_data.to_bytes(), _check_chunk(chunk_spec.dtype, chunk_spec.shape))
        return chunk_spec.prototype.nd_buffer.from_numpy_array(picture.reshape(chunk_spec.shape))

    async def _decode_partial_single(self, byte_getter: "ByteGetter", selection: Any, chunk_spec: "ArraySpec") -> "NDBuffer | None":
        data = await byte_getter.get(chunk_spec.prototype)
        if data is None:
            return None
        shape = _check_chunk(chunk_spec.dtype, chunk_spec.shape)
        bounds, within = _bounds(selection, chunk_spec.shape)
        leading = len(chunk_spec.shape) - len(shape)
        rows, columns = bounds[leading : leading + 2]
        picture = await asyncio.to_thread(_decoded, data.to_bytes(), shape, (rows, columns))
        part = picture.reshape(*chunk_spec.shape[:leading], *picture.shape)[within]
        return chunk_spec.prototype.nd_buffer.from_numpy_array(part)

    def _encoded(self, picture: NDArray[np.uint8]) -> bytes:
        from vqcodec.codec.calls import encode

        with _WORK:
            return encode(picture, quality=self.quality, tune=self.tune, model=self.model, max_pixels=MAX_PIXELS)


def _decoded(data: bytes, shape: tuple[int, ...], part: tuple[range, range] | None = None) -> NDArray[np.uint8]:
    """Decodes the picture of a chunk, or a part of it, uint8 [H, W] or [H, W, 3].

    Raises:
        VqcodecError: The chunk is damaged, or its model is not installed.
        ValueError: It holds a picture of another shape.
    """
    from vqcodec.codec.calls import decode
    from vqcodec.info import read_info

    info = read_info(data)
    found = (info.height, info.width, *({"L": (), "RGB": (3,)}.get(info.mode, (info.mode,))))
    if found != shape:
        raise ValueError(f"chunk holds a picture {list(found)}, expected {list(shape)}")
    region = None
    if part is not None and (len(part[0]), len(part[1])) != shape[:2]:
        region = part[1].start, part[0].start, len(part[1]), len(part[0])
    with _WORK:
        return np.asarray(decode(data, region=region, max_pixels=MAX_PIXELS))


def _check_chunk(dtype: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a chunk's picture, [H, W] or [H, W, 3].

    Raises:
        ValueError: The chunk is no picture.
    """
    native = dtype.to_native_dtype()
    picture = shape[-3:] if shape[-1:] == (3,) and len(shape) > 2 else shape[-2:]
    leading = shape[: len(shape) - len(picture)]
    if native != np.uint8 or len(shape) < 2 or any(length != 1 for length in leading):
        expected = "uint8 [H, W] or [H, W, 3], with axes of length 1 before these"
        raise ValueError(f"chunks are {native} {list(shape)}, expected for the lossy codec {NAME}: {expected}")
    if picture[0] * picture[1] > MAX_PIXELS:
        raise ValueError(f"chunks of {picture[1]}x{picture[0]} pixels, expected {MAX_PIXELS} at most")
    return picture


def _bounds(selection: Any, shape: tuple[int, ...]) -> tuple[list[range], tuple[Any, ...]]:
    """Returns the smallest box that holds what is selected of a chunk, and the selection within rows and columns of that box.

    Args:
        selection: slices, whole numbers and arrays of whole numbers, one for each axis or for the first ones.
        shape: shape of the chunk.
    """
    selectors = selection if isinstance(selection, tuple) else (selection,)
    selectors = (*selectors, *[slice(None)] * (len(shape) - len(selectors)))
    leading = len(shape) - (3 if shape[-1] == 3 and len(shape) > 2 else 2)
    boxes, within = [], []
    for axis, (selector, length) in enumerate(zip(selectors, shape, strict=True)):
        is_side = leading <= axis < leading + 2
        places = np.arange(length)[selector]
        box = range(int(places.min()), int(places.max()) + 1) if is_side and places.size else range(length)
        boxes.append(box)
        within.append(_moved(selector, length, box.start))
    return boxes, tuple(within)


def _moved(selector: Any, length: int, start: int) -> Any:
    """Returns a selector of an axis of some length that counts from `start`."""
    if isinstance(selector, slice):
        first, stop, step = selector.indices(length)
        return slice(first - start, stop - start, step)
    return np.arange(length)[selector] - start


register_codec(NAME, VqCodec)
