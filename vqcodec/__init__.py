"""vqcodec: a learned image codec whose files are code maps.

    import vqcodec

    data = vqcodec.encode(image)     # Pillow image, uint8 array or path -> bytes of a .vq file
    image = vqcodec.decode(data)     # bytes -> Pillow image

    codec = vqcodec.open_model()     # the same with a model that is loaded once
    data = codec.encode(image, quality=50)

    with vqcodec.open("photo.vq") as reader:  # reads parts of a large picture
        part = reader.read_region((0, 0), 0, (512, 512))

Names are loaded on first use: importing this package imports neither torch nor Pillow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vqcodec.errors import VqcodecError

if TYPE_CHECKING:
    from vqcodec.codec.calls import decode, decode_batch, decode_indices, decode_indices_batch, encode, encode_batch, inspect, paint_indices
    from vqcodec.codec.calls import open as open  # noqa: A004
    from vqcodec.codec.inspection import Inspection
    from vqcodec.codec.loaded import Codec, open_model
    from vqcodec.decoding.reader import Reader
    from vqcodec.info import FileInfo, MapInfo, read_info

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "FileInfo",
    "Inspection",
    "MapInfo",
    "Reader",
    "VqcodecError",
    "decode",
    "decode_batch",
    "decode_indices",
    "decode_indices_batch",
    "encode",
    "encode_batch",
    "inspect",
    "open",
    "open_model",
    "paint_indices",
    "read_info",
]

_MODULES = {
    **dict.fromkeys(("FileInfo", "MapInfo", "read_info"), "info"),
    **dict.fromkeys(("Codec", "open_model"), "codec.loaded"),
    "Inspection": "codec.inspection",
    "Reader": "decoding.reader",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vqcodec' has no attribute {name!r}")
    return getattr(import_module(f"vqcodec.{_MODULES.get(name, 'codec.calls')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
