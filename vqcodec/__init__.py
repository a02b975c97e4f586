"""vqcodec: a learned image codec whose files are code maps.

    import vqcodec

    data = vqcodec.encode(image)     # Pillow image or uint8 array -> bytes of a .vq file
    image = vqcodec.decode(data)     # bytes -> Pillow image

Names are loaded on first use: importing this package imports neither torch nor Pillow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vqcodec.errors import VqcodecError

if TYPE_CHECKING:
    from vqcodec.decoding import decode, decode_batch, decode_indices
    from vqcodec.encoding import encode, encode_batch
    from vqcodec.info import FileInfo, MapInfo, read_info
    from vqcodec.models.registry import open_model

__version__ = "0.1.0"

__all__ = [
    "FileInfo",
    "MapInfo",
    "VqcodecError",
    "decode",
    "decode_batch",
    "decode_indices",
    "encode",
    "encode_batch",
    "open_model",
    "read_info",
]

_HOMES = {
    "vqcodec.decoding": ("decode", "decode_batch", "decode_indices"),
    "vqcodec.encoding": ("encode", "encode_batch"),
    "vqcodec.models.registry": ("open_model",),
    "vqcodec.info": ("FileInfo", "MapInfo", "read_info"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'vqcodec' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
