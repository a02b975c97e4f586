"""Makes a recipe, a run and photos for the tests of training."""

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import SMALL, make_picture
from vqcodec.models.model import Model, load_model
from vqcodec.training.data import PhotoSet, find_sources, load_photos
from vqcodec.training.loop import train
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.trainer import Trainer

CPU = torch.device("cpu")
RECIPE = AutoencoderRecipe(
    network=SMALL,
    batch_size=4,
    crop_size=32,
    init_crops=16,
    lr_schedule=((0, 0.0), (2, 1.0), (8, 1.0), (12, 0.0)),
    dead_code_steps=3,
    dead_code_until=9,
    top_max_rate_weight=0.4,
    validate_steps=6,
    checkpoint_steps=5,
    log_steps=4,
)


def run_training(trainer: Trainer[Any, Any], out: Path, **options: Any) -> Any:
    train(trainer, out, **options)
    return trainer


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


@pytest.fixture
def model(models_root: Path) -> Model:
    return load_model(models_root / "small-test", "cpu")
