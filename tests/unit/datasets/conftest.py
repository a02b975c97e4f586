"""Small .vq files, folders and shards of them."""

import io
import tarfile
from pathlib import Path

import pytest

import vqcodec
from tests.conftest import make_picture


@pytest.fixture
def codec(small_model: str) -> vqcodec.Codec:
    return vqcodec.open_model(small_model, device="cpu")


def vq(codec: vqcodec.Codec, seed: int = 0, *, size: tuple[int, int] = (40, 32), num_maps: int = 2, coder: str = "static") -> bytes:
    return codec.encode(make_picture(*size, seed), num_maps=num_maps, coder=coder, layers=False)


def write_shard(path: Path, members: list[tuple[str, bytes | tarfile.TarInfo]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                data.name = name
                tar.addfile(data)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Returns an extended header, which precedes that of its member, with records that no writer would write."""
    body = b""
    for key, value in records.items():
        record = f" {key}={value}\n".encode()
        body += str(len(record) + 2).encode() + record
        assert len(record) + 2 in range(10, 100)
    return header("pax", len(body), kind) + body.ljust(-(-len(body) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, b"\0")


def header(name: str, num_bytes: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Returns the header of a member, whose size may be one that no shard can hold."""
    info = tarfile.TarInfo(name)
    info.size, info.type = num_bytes, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def link(to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo("")
    info.type, info.linkname = kind, to
    return info
