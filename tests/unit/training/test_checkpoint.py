"""Checks that files that are no checkpoint of a run are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import kind_of_run
from vqcodec.training.run_log import METRICS_NAME


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x80\x02}q\x00.", "cut", {"step": 3}, [1], {"recipe": 5}])
def test_checkpoints_that_are_none(photos: PhotoSet, tmp_path: Path, data: Any) -> None:
    (tmp_path / METRICS_NAME).write_text("")
    checkpoint = tmp_path / CHECKPOINT_NAME
    torch.save(data, checkpoint)
    if data == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    elif isinstance(data, bytes):
        checkpoint.write_bytes(data)
    with pytest.raises(ModelError, match=f"{CHECKPOINT_NAME}: not a checkpoint of a training run") as caught:
        kind_of_run(tmp_path)
    assert "weights_only" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="not a checkpoint"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path, resume=True)
