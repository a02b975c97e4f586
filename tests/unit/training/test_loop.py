"""Checks that a run resumes exactly, and only from a checkpoint of its own kind."""

import json
from pathlib import Path

import pytest
import torch

from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME, save_checkpoint
from vqcodec.training.data import PhotoSet
from vqcodec.training.run_log import METRICS_NAME


def test_a_checkpoint_of_another_kind_of_run(photos: PhotoSet, tmp_path: Path) -> None:
    trainer = AutoencoderTrainer(RECIPE, photos, None, CPU)
    state = trainer.state()
    save_checkpoint(tmp_path / CHECKPOINT_NAME, {**state, "recipe": {**state["recipe"], "lpips_weight": 1.0}})
    with pytest.raises(ModelError, match=rf"{CHECKPOINT_NAME}: not a checkpoint of such a run \(unknown key lpips_weight"):
        run_training(trainer, tmp_path, resume=True)


def test_resumed_run_equals_an_uninterrupted_one(photos: PhotoSet, tmp_path: Path) -> None:
    whole = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "whole")
    run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", max_steps=7)
    with (tmp_path / "cut" / METRICS_NAME).open("a") as log:
        log.write('{"kind": "step", "step": 9}\n{"kind": "st')
    resumed = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", resume=True)
    for one, other in ((whole.network, resumed.network), (whole.averaged, resumed.averaged)):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    rows = [json.loads(line) for line in (tmp_path / "cut" / METRICS_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [6, 7, 12]
    with pytest.raises(ModelError, match="holds a run already"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "cut")
    with pytest.raises(ModelError, match="no checkpoint"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "new", resume=True)
