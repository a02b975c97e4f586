"""Checks the training of priors: learning, resume, export, going on from a model, and what does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import vqcodec
from tests.conftest import SMALL_PRIORS, make_picture
from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.models.model import load_model
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.code_maps import CodeMaps, extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import export_autoencoder, export_prior, kind_of_run
from vqcodec.training.prior import PriorTrainer
from vqcodec.training.recipe import PriorRecipe
from vqcodec.training.run_log import METRICS_NAME

if TYPE_CHECKING:
    from vqcodec.training.metrics import PriorValidation

RECIPES = [
    PriorRecipe(
        network=replace(config, columns=2),
        batch_size=4,
        tile_top_codes=4,
        lr_schedule=((0, 0.0), (3, 1.0), (60, 0.0)),
        lr_adamw=0.01,
        fixed_from=40,
        validate_steps=60,
        checkpoint_steps=30,
        weights_ema_decay=0.8,
    )
    for config in SMALL_PRIORS[:2]
]


@pytest.fixture(scope="module")
def exported(photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of an exported model without priors, beside the run that it is of."""
    root = tmp_path_factory.mktemp("models")
    run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), root / "run")
    export_autoencoder(root / "run", root / "tiny", photos, number=1002, num_crops=20)
    return root / "tiny"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def codes(exported: Path, photos: PhotoSet) -> CodeMaps:
    extract_code_maps(load_model(exported), photos, exported.parent / "codes", rate_weights=(0.0, 0.1), passes=2)
    return open_code_maps(exported.parent / "codes")


def test_priors_learn_are_exported_and_trained_on(exported: Path, folder: Path, codes: CodeMaps, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="priors of 0 maps"):
        run_training(PriorTrainer(RECIPES[1], codes, codes, CPU), tmp_path / "early", max_steps=2)
        export_prior(tmp_path / "early", folder)
    for number, recipe in enumerate(RECIPES):
        run = tmp_path / f"prior_{number}"
        held_out: list[PriorValidation] = []
        run_training(PriorTrainer(recipe, codes, codes, CPU), run, max_steps=30)
        run_training(PriorTrainer(recipe, codes, codes, CPU), run, resume=True, on_validation=held_out.append)
        rows = [json.loads(line) for line in (run / METRICS_NAME).read_text().splitlines()]
        assert rows[0]["bits_per_code"] > 3.5 > held_out[-1].bits_per_code_fixed
        assert abs(held_out[-1].bits_per_code_fixed - held_out[-1].bits_per_code_real) < 0.2
        assert held_out[-1].training_bits_per_code_real == held_out[-1].bits_per_code_real
        assert kind_of_run(run) == "prior" and kind_of_run(exported.parent / "run") == "autoencoder"
        export_prior(run, folder)
    model = load_model(folder)
    assert [prior.config for prior in model.priors] == [recipe.network for recipe in RECIPES]
    assert model.config.top_max_rate_weight == RECIPE.top_max_rate_weight
    data = vqcodec.encode(make_picture(64, 64), model=folder)
    assert vqcodec.read_info(data).maps[0].coder in ("prior", "static")

    trainer = PriorTrainer(RECIPES[1], codes, None, CPU)
    trainer.start_from(folder)
    assert trainer.step == 60
    assert all(torch.equal(a, b) for a, b in zip(trainer.network.parameters(), model.priors[1].parameters(), strict=True))
    with pytest.raises(ModelError, match="no prior of map top"):
        PriorTrainer(replace(RECIPES[0], network=replace(RECIPES[0].network, blocks=1)), codes, None, CPU).start_from(folder)


def test_priors_that_do_not_fit(folder: Path, codes: CodeMaps, tmp_path: Path) -> None:
    wider = replace(RECIPES[0], network=replace(RECIPES[0].network, codebook_size=32))
    with pytest.raises(ModelError, match="with 32 codes does not fit"):
        PriorTrainer(wider, codes, None, CPU)
    with pytest.raises(ModelError, match="does not fit 4 maps"):
        PriorTrainer(replace(RECIPES[1], network=replace(RECIPES[1].network, earlier_maps=7)), codes, None, CPU)
    wider_codes = replace(codes, codebooks=codes.codebooks.repeat(2, axis=1))
    run_training(PriorTrainer(wider, wider_codes, None, CPU), tmp_path / "wider", max_steps=1)
    with pytest.raises(ModelError, match="has 4 maps of 16"):
        export_prior(tmp_path / "wider", folder)
