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


def link(to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo("")
    info.type, info.linkname = kind, to
    return info
