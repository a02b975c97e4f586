"""Checks what a run becomes as a model folder."""

import json
from pathlib import Path

import pytest

import vqcodec
from tests.conftest import make_picture
from tests.unit.training.conftest import CPU, RECIPE, run_training
from vqcodec.errors import ModelError
from vqcodec.models.model import load_model
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from vqcodec.training.data import PhotoSet
from vqcodec.training.export import export_autoencoder
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.run_log import LOG_NAME, METRICS_NAME


def test_export_gives_a_model_that_encodes(photos: PhotoSet, tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "tiny"
    run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), run)
    config = export_autoencoder(run, folder, photos, number=1001, num_crops=20)
    assert config.id == "tiny" and config.number == 1001
    model = load_model(config)
    assert (model.static_freqs.sum(axis=1) == 1 << 24).all()
    codes = json.loads((folder / "codes.json").read_text())["maps"]
    assert codes[0]["codes"] == 20 * 4 * 4 and 1 <= codes[0]["perplexity"] <= 16
    assert AutoencoderRecipe.read(folder / "recipe.toml") == RECIPE
    data = vqcodec.encode(make_picture(40, 40), model=folder)
    assert vqcodec.read_info(data).width == 40
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.startswith("# tiny\n") and config.weights_sha256 in card and "| refine_2 |" in card
    (folder / "MODEL_CARD.md").write_text("my own")
    log = (run / METRICS_NAME).read_text()
    later = json.dumps({"kind": "step", "step": RECIPE.steps + 4, "elapsed_s": 99.0})
    (run / METRICS_NAME).write_text(f'{log}{later}\n{{"kind": "st')
    export_autoencoder(run, folder, photos, number=1001, num_crops=20)
    assert (folder / "MODEL_CARD.md").read_text() == "my own" and (folder / LOG_NAME).read_text() == log
    (run / METRICS_NAME).write_text(log[:9])
    with pytest.raises(ModelError, match=f"{METRICS_NAME}: holds no whole line"):
        export_autoencoder(run, folder, photos, number=1001, num_crops=20)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("value", "message"), [(float("nan"), "not finite numbers of float32"), (1e30, "not finite numbers of float16")])
def test_weights_that_are_not_finite_are_refused(photos: PhotoSet, tmp_path: Path, value: float, message: str) -> None:
    run, folder = tmp_path / "run", tmp_path / "tiny"
    run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), run, max_steps=1)
    state = load_checkpoint(run / CHECKPOINT_NAME, CPU)
    state["averaged"]["module.stem.weight"][0] = value
    save_checkpoint(run / CHECKPOINT_NAME, state)
    with pytest.raises(ModelError, match=f"stem.weight are {message}"):
        export_autoencoder(run, folder, photos, number=1001, num_crops=20)
    assert not folder.exists()


def test_export_says_what_it_does(photos: PhotoSet, tmp_path: Path) -> None:
    run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "run", max_steps=1)
    told: list[object] = []
    export_autoencoder(
        tmp_path / "run", tmp_path / "tiny", photos, number=1001, num_crops=40, on_stage=told.append, on_progress=told.append
    )
    assert told == ["counting the codes of 40 crops of 32x32 pixels", 0.4, 0.8, 1.0]
