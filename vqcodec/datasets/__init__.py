"""Code maps as data for training: data sets of PyTorch, hooks of WebDataset, and shards of many .vq files."""

from vqcodec.datasets.code_maps import CodeMaps, CodeSample
from vqcodec.datasets.folder import FolderCodeMaps
from vqcodec.datasets.hooks import decode_vq, decoder
from vqcodec.datasets.shards import ShardCodeMaps

__all__ = ["CodeMaps", "CodeSample", "FolderCodeMaps", "ShardCodeMaps", "decode_vq", "decoder"]
