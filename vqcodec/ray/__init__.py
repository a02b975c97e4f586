"""Bulk encoding and decoding by Ray Data, on one machine or many: stages of a pipeline, whose source and sink are those of Ray."""

from vqcodec.ray.stages import decode, encode, pending, shard_rows, write_files

__all__ = ["decode", "encode", "pending", "shard_rows", "write_files"]
