"""Code maps as data for training: data sets of PyTorch, hooks of WebDataset, and shards of many .vq files.

Names are loaded on first use: `vqcodec pack` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vqcodec.datasets.code_maps import CodeMaps, CodeSample
    from vqcodec.datasets.folder import FolderCodeMaps
    from vqcodec.datasets.hooks import decode_vq, decoder
    from vqcodec.datasets.shards import ShardCodeMaps

__all__ = ["CodeMaps", "CodeSample", "FolderCodeMaps", "ShardCodeMaps", "decode_vq", "decoder"]

_MODULES = {
    **dict.fromkeys(("CodeMaps", "CodeSample"), "code_maps"),
    **dict.fromkeys(("decode_vq", "decoder"), "hooks"),
    "FolderCodeMaps": "folder",
    "ShardCodeMaps": "shards",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'vqcodec.datasets' has no attribute {name!r}")
    return getattr(import_module(f"vqcodec.datasets.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
