"""Bulk encoding and decoding by Ray Data, on one machine or many: stages of a pipeline, whose source and sink are those of Ray."""

from importlib.util import find_spec

if find_spec("ray") is None or find_spec("pyarrow") is None:
    raise ImportError("vqcodec.ray needs the packages of the extra [ray]: pip install 'vqcodec[ray]'")

from vqcodec.ray.stages import decode, encode, pending, shard_rows, write_files

__all__ = ["decode", "encode", "pending", "shard_rows", "write_files"]
