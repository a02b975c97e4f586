"""Fixtures of the unit tests."""

import tarfile
from io import BytesIO

import pytest
from PIL import Image

from tests.conftest import make_picture
from vqcodec.training.data import PhotoSet, find_sources, load_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    root = tmp_path_factory.mktemp("photos")
    with tarfile.open(root / "a.tar", "w") as tar:
        for number in range(3):
            out = BytesIO()
            Image.fromarray(make_picture(70 + number, 60, number)).save(out, "PNG")
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(out.getvalue())
            tar.addfile(member, BytesIO(out.getvalue()))
        tar.addfile(tarfile.TarInfo("empty.txt"))
    return load_photos(find_sources(root), root / "cache")
