"""Checks that the autoencoder learns at all, and that training goes on from an exported model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import SMALL
from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.models.config import read_config
from vqcodec.models.model import load_model
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.data import PhotoSet, load_photos
from vqcodec.training.export import export_autoencoder
from vqcodec.training.run_log import LOG_NAME, METRICS_NAME

if TYPE_CHECKING:
    from vqcodec.training.metrics import AutoencoderValidation


@pytest.mark.slow
@pytest.mark.parametrize(("codebook_update", "optimizer"), [("ema", "adamw"), ("loss", "muon")])
def test_training_improves_on_its_linear_start(
    photo: NDArray[np.uint8], tmp_path: Path, codebook_update: Literal["ema", "loss"], optimizer: Literal["muon", "adamw"]
) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    photos = load_photos([tmp_path / "photo.png"], tmp_path / "cache")
    recipe = replace(
        RECIPE,
        network=replace(SMALL, codebook_update=codebook_update),
        optimizer=optimizer,
        lr_schedule=((0, 0.0), (5, 0.0), (15, 1.0), (150, 0.0)),
        validate_steps=5,
        checkpoint_steps=150,
        weights_ema_decay=0.9,
        commitment_weight=5.0,
    )
    held_out: list[AutoencoderValidation] = []
    run_training(AutoencoderTrainer(recipe, photos, photos, CPU), tmp_path / "run", on_validation=held_out.append)
    assert np.mean(held_out[-1].psnr_db) > np.mean(held_out[0].psnr_db) + 0.1
    assert all(1.0 <= value <= SMALL.codebook_size for value in held_out[-1].perplexity)


@pytest.mark.slow
def test_an_exported_model_is_trained_on(photos: PhotoSet, tmp_path: Path) -> None:
    first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "tiny"
    network = replace(SMALL, blocks_decoder=2, blocks_preview=2)
    run_training(AutoencoderTrainer(replace(RECIPE, network=network), photos, photos, CPU), first)
    export_autoencoder(first, folder, photos, number=1001, num_crops=20)
    slower = replace(network, ema_decay=0.999, blocks_preview=1)
    longer = replace(RECIPE, network=slower, lr_schedule=((0, 0.0), (4, 0.0)), dead_code_until=0)
    trainer = AutoencoderTrainer(longer, photos, None, CPU)
    trainer.start_from(folder)
    exported = load_model(read_config(folder)).network
    assert trainer.step == 12
    assert all(torch.equal(value, exported.stored_state()[key]) for key, value in trainer.network.stored_state().items())
    for number, quantizer in enumerate(trainer.quantizers()):
        assert float(quantizer.ema_count.sum()) == pytest.approx(4 * 16 * (1 if number == 0 else 4), rel=1e-4)
        assert torch.allclose(quantizer.ema_sum / quantizer.ema_count[:, None], quantizer.codebook, atol=1e-5)
    run_training(AutoencoderTrainer(longer, photos, photos, CPU), second, start_from=folder)
    rows = [json.loads(line) for line in (second / METRICS_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "step"] == [4, 8, 12, 16]
    with pytest.raises(ModelError, match="cannot start from"):
        run_training(AutoencoderTrainer(longer, photos, None, CPU), second, resume=True, start_from=folder)
    other = replace(RECIPE, network=replace(network, channels=4))
    with pytest.raises(ModelError, match="differs from the recipe"):
        AutoencoderTrainer(other, photos, None, CPU).start_from(folder)
    (folder / LOG_NAME).unlink()
    with pytest.raises(ModelError, match=LOG_NAME):
        AutoencoderTrainer(longer, photos, None, CPU).start_from(folder)


def test_large_crops_come_last(photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(RECIPE, crop_schedule=((0, 32), (0.5, 40), (0.9, 56)), checkpoint_steps=1)
    drawn: list[tuple[int, int]] = []
    real = PhotoSet.random_crops

    def noted(photos: PhotoSet, count: int, size: int, rng: np.random.Generator, part: slice) -> NDArray[np.uint8]:
        drawn.append((count, size))
        return real(photos, count, size, rng, part)

    monkeypatch.setattr(PhotoSet, "random_crops", noted)
    whole = run_training(AutoencoderTrainer(recipe, photos, None, CPU), tmp_path / "whole")
    assert drawn == [(16, 32)] + [(4, 32)] * 5 + [(3, 40)] * 5 + [(1, 56)] * 2
    run_training(AutoencoderTrainer(recipe, photos, None, CPU), tmp_path / "cut", max_steps=7)
    resumed = run_training(AutoencoderTrainer(recipe, photos, None, CPU), tmp_path / "cut", resume=True)
    assert all(torch.equal(value, resumed.network.state_dict()[key]) for key, value in whole.network.state_dict().items())
    with pytest.raises(ValueError, match="no photo has 512x512 pixels"):
        AutoencoderTrainer(replace(recipe, crop_schedule=((0, 32), (0.9, 512))), photos, None, CPU)
