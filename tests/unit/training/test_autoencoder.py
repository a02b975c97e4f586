"""Training: crops by seed, exact resume, learning at all, and the way from a run to a model folder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vqcodec
from tests.conftest import SMALL, SMALL_PRIORS, make_picture
from vqcodec.errors import ImageError, ModelError
from vqcodec.models.config import read_config
from vqcodec.models.model import load_model
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME, save_checkpoint
from vqcodec.training.code_maps import extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet, find_sources, load_photos
from vqcodec.training.export import export_autoencoder, export_prior, kind_of_run
from vqcodec.training.loop import train
from vqcodec.training.muon import Muon, orthogonalize
from vqcodec.training.prior import PriorTrainer
from vqcodec.training.recipe import AutoencoderRecipe, PriorRecipe
from vqcodec.training.run_log import LOG_NAME, METRICS_NAME
from vqcodec.training.trainer import Trainer, step_rng

if TYPE_CHECKING:
    from vqcodec.training.metrics import AutoencoderValidation, PriorValidation

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


def test_photos_are_decoded_once_and_exactly(photos: PhotoSet, tmp_path: Path) -> None:
    assert len(photos) == 3
    assert np.array_equal(photos.photo(1), make_picture(71, 60, 1))
    for number in range(2):
        Image.fromarray(make_picture(20, 20, number)).save(tmp_path / f"{number}.png")
    folder = load_photos(find_sources(tmp_path), tmp_path / "cache")
    assert np.array_equal(folder.photo(1), make_picture(20, 20, 1))
    with pytest.raises(ValueError, match="32x32"):
        folder.random_crops(1, 32, step_rng(0, 0))
    Image.fromarray(make_picture(20, 20)[:, :, 0]).save(tmp_path / "0.png")
    grey = load_photos(find_sources(tmp_path), tmp_path / "cache")
    assert (grey.photo(0)[:, :, 0] == grey.photo(0)[:, :, 2]).all()
    assert np.array_equal(grey.photo(1), make_picture(20, 20, 1)) and len(grey.pixels) == 2 * 20 * 20 * 3
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="no picture"):
        find_sources(tmp_path / "none")


def test_crops_depend_on_seed_and_step_alone(photos: PhotoSet) -> None:
    first = photos.random_crops(5, 32, step_rng(1, 7))
    assert np.array_equal(first, photos.random_crops(5, 32, step_rng(1, 7)))
    assert not np.array_equal(first, photos.random_crops(5, 32, step_rng(1, 8)))


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    for shape in [(8, 30), (30, 8)]:
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert 0.5 < float(values.min()) and float(values.max()) < 1.4


def test_muon_steps_each_parameter_by_its_own_orthogonal_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((6, 4, 3, 3), (6, 4, 3, 3), (8, 5), (6, 4, 3, 3))]
    for param in params[:3]:
        param.grad = torch.randn(param.shape, generator=generator)
    Muon(params, lr=0.5).step()
    for param in params[:3]:
        assert param.grad is not None
        wanted = -0.5 * max(1.0, param.shape[0] / param.grad.flatten(1).shape[1]) ** 0.5 * orthogonalize(param.grad.flatten(1))
        assert torch.linalg.norm(param.detach().flatten(1) - wanted) < 0.1 * torch.linalg.norm(wanted)
    assert not params[3].any()


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


def test_a_checkpoint_of_another_kind_of_run(photos: PhotoSet, tmp_path: Path) -> None:
    trainer = AutoencoderTrainer(RECIPE, photos, None, CPU)
    state = trainer.state()
    save_checkpoint(tmp_path / CHECKPOINT_NAME, {**state, "recipe": {**state["recipe"], "lpips_weight": 1.0}})
    with pytest.raises(ModelError, match=rf"{CHECKPOINT_NAME}: not a checkpoint of such a run \(unknown key lpips_weight"):
        run_training(trainer, tmp_path, resume=True)


def state_tensors(trainer: AutoencoderTrainer) -> list[torch.Tensor]:
    return [*trainer.network.state_dict().values(), *trainer.averaged.state_dict().values()]


def test_resumed_run_equals_an_uninterrupted_one(photos: PhotoSet, tmp_path: Path) -> None:
    whole = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "whole")
    run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", max_steps=7)
    with (tmp_path / "cut" / METRICS_NAME).open("a") as log:
        log.write('{"kind": "step", "step": 9}\n{"kind": "st')
    resumed = run_training(AutoencoderTrainer(RECIPE, photos, photos, CPU), tmp_path / "cut", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(state_tensors(whole), state_tensors(resumed), strict=True))
    rows = [json.loads(line) for line in (tmp_path / "cut" / METRICS_NAME).read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [6, 7, 12]
    with pytest.raises(ModelError, match="holds a run already"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "cut")
    with pytest.raises(ModelError, match="no checkpoint"):
        run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "new", resume=True)


@pytest.mark.parametrize("codebook_update", ["ema", "loss"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_training_improves_on_its_linear_start(
    photo: NDArray[np.uint8], tmp_path: Path, codebook_update: Literal["ema", "loss"], optimizer: Literal["muon", "adamw"]
) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png")
    photos = load_photos([tmp_path / "photo.png"], tmp_path / "cache")
    recipe = replace(
        RECIPE,
        network=replace(SMALL, codebook_update=codebook_update),
        optimizer=optimizer,
        lr_schedule=((0, 0.0), (10, 1.0), (150, 0.0)),
        validate_steps=1,
        checkpoint_steps=150,
        weights_ema_decay=0.9,
        commitment_weight=5.0,
    )
    held_out: list[AutoencoderValidation] = []
    run_training(AutoencoderTrainer(recipe, photos, photos, CPU), tmp_path / "run", on_validation=held_out.append)
    assert np.mean(held_out[-1].psnr_db) > np.mean(held_out[0].psnr_db) + 0.1
    assert all(1.0 <= value <= SMALL.codebook_size for value in held_out[-1].perplexity)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = ", "not a recipe"),
        ("steps = 1", "unknown key steps"),
        ("[network]\nwidth = 3", "width"),
        ("crop_size = 9", "9"),
        ('optimizer = "sgd"', "sgd"),
        ("top_max_rate_weight = 0", "top_max_rate_weight must be above 0"),
        ("[model]", "unknown key model"),
        ("log_steps = 0", "log_steps"),
        ('lr_muon = "a"', "lr_muon"),
        ('[network]\nchannels = "q"', "channels"),
        ("lr_schedule = [[0, 1.0]]", "rising steps"),
        ("lr_schedule = [[0, 1.0], [5, 0.5], [5, 0.0]]", "rising steps"),
        ("lr_schedule = [1, 2]", "lr_schedule must be a list, each a list of 2: a whole number of at least 0, a number of at least 0, not"),
        ("lr_schedule = 5", "lr_schedule"),
        ("lr_adamw = nan", "lr_adamw must be a number of at least 0, not nan"),
        ("seed = -1", r"seed must be a whole number in 0\.\.9223372036854775807, not -1"),
        ("seed = true", "seed"),
        (f"seed = {10**400}", "seed must be a whole number in 0"),
        (f"lr_muon = {10**400}", "lr_muon must be a number of at least 0"),
        ("weights_ema_decay = 1.5", r"weights_ema_decay must be a number in 0\.\.1, not 1.5"),
        ("dead_code_steps = 0", "dead_code_steps must be a whole number of at least 1, not 0"),
        ("init_crops = 0", "init_crops"),
        ("crop_size = 32.0", r"crop_size must be a whole number of at least 0, not 32\.0"),
        ("crop_size = 'x'", "crop_size"),
        ("rate_passes = true", "rate_passes must be a whole number of at least 1, not True"),
        ("commitment_weight = 'a'", "commitment_weight"),
        ("prefix_probabilities = [0.1, 'a', 0.1, 0.1]", "prefix_probabilities must be a list, each a number of at least 0, not"),
        ("prefix_probabilities = [0, 0, 0, 0]", "prefix_probabilities must be above 0 somewhere"),
        ("network = 5", r"\[network\] must be a table, not 5"),
        ("[network]\nchannels = 0", "channels must be a whole number of at least 1, not 0"),
        ('[network]\ncodebook_update = "sum"', "codebook_update must be 'ema' or 'loss', not 'sum'"),
        ("seed = " + 5000 * "[", "not a recipe"),
    ],
)
def test_recipes_with_mistakes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        AutoencoderRecipe.read(path)


def test_learning_rate_rises_stays_and_falls() -> None:
    recipe = AutoencoderRecipe(lr_schedule=((0, 0.0), (10, 1.0), (50, 1.0), (100, 0.0)))
    factors = [recipe.lr_factor(step) for step in range(1, 101)]
    assert factors[0] == pytest.approx(0.1) and factors[9:50] == [1.0] * 41
    assert factors[74] == pytest.approx(0.5) and factors[98] == pytest.approx(0.02) and factors[99] == 0.0
    assert recipe.steps == 100


def test_an_exported_model_is_trained_on(photos: PhotoSet, tmp_path: Path) -> None:
    first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "tiny"
    network = replace(SMALL, blocks_decoder=2, blocks_preview=2)
    run_training(AutoencoderTrainer(replace(RECIPE, network=network), photos, photos, CPU), first)
    export_autoencoder(first, folder, photos, number=1001, num_crops=20)
    slower = replace(network, ema_decay=0.999, blocks_preview=1)
    longer = replace(RECIPE, network=slower, lr_schedule=((0, 0.0), (12, 0.0), (16, 0.0)), dead_code_until=0)
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


def test_prior_learns_is_exported_and_trained_on(photos: PhotoSet, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    run_training(AutoencoderTrainer(RECIPE, photos, None, CPU), tmp_path / "autoencoder")
    export_autoencoder(tmp_path / "autoencoder", folder, photos, number=1002, num_crops=20)
    extract_code_maps(load_model(read_config(folder)), photos, tmp_path / "codes", rate_weights=(0.0, 0.1), passes=2)
    codes = open_code_maps(tmp_path / "codes")
    assert len(codes.heights) == 6 and codes.photo_map(5, 1).shape == (2 * codes.heights[5], 2 * codes.widths[5])
    encoded: list[int] = []
    extract_code_maps(load_model(read_config(folder)), photos, tmp_path / "crops", crop_size=48, passes=6, on_progress=encoded.append)
    crops = open_code_maps(tmp_path / "crops")
    assert encoded == [16, 2] and set(crops.heights) == set(crops.widths) == {6}
    assert len({crops.photo_map(3 * turn, 1).tobytes() for turn in range(6)}) > 3, "each pass takes another crop"

    recipes = [
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
    with pytest.raises(ModelError, match="priors of 0 maps"):
        run_training(PriorTrainer(recipes[1], codes, codes, CPU), tmp_path / "early", max_steps=2)
        export_prior(tmp_path / "early", folder)
    for number, recipe in enumerate(recipes):
        run = tmp_path / f"prior_{number}"
        held_out: list[PriorValidation] = []
        run_training(PriorTrainer(recipe, codes, codes, CPU), run, max_steps=30)
        run_training(PriorTrainer(recipe, codes, codes, CPU), run, resume=True, on_validation=held_out.append)
        rows = [json.loads(line) for line in (run / METRICS_NAME).read_text().splitlines()]
        assert rows[0]["bits_per_code"] > 3.5 > held_out[-1].bits_per_code_fixed
        assert abs(held_out[-1].bits_per_code_fixed - held_out[-1].bits_per_code_real) < 0.2
        assert held_out[-1].training_bits_per_code_real == held_out[-1].bits_per_code_real
        assert kind_of_run(run) == "prior" and kind_of_run(tmp_path / "autoencoder") == "autoencoder"
        export_prior(run, folder)
    model = load_model(read_config(folder))
    assert [prior.config for prior in model.priors] == [recipe.network for recipe in recipes]
    assert model.config.top_max_rate_weight == RECIPE.top_max_rate_weight
    image = make_picture(64, 64)
    data = vqcodec.encode(image, model=folder)
    assert vqcodec.read_info(data).maps[0].coder in ("prior", "static")

    trainer = PriorTrainer(recipes[1], codes, None, CPU)
    trainer.start_from(folder)
    assert trainer.step == 60
    assert all(torch.equal(a, b) for a, b in zip(trainer.network.parameters(), model.priors[1].parameters(), strict=True))
    with pytest.raises(ModelError, match="no prior of map top"):
        PriorTrainer(replace(recipes[0], network=replace(recipes[0].network, blocks=1)), codes, None, CPU).start_from(folder)
    for crop_size, message in (
        (56 + 64, "no photo has 120x120 pixels; the shorter side of the largest has 60"),
        (50, "a multiple of 8, not 50"),
    ):
        with pytest.raises(ModelError, match=message):
            extract_code_maps(model, photos, tmp_path / "codes", crop_size=crop_size)
    assert len(open_code_maps(tmp_path / "codes").heights) == 6
    with pytest.raises(ModelError, match="extract code maps"):
        open_code_maps(tmp_path)
    wider = replace(recipes[0], network=replace(recipes[0].network, codebook_size=32))
    with pytest.raises(ModelError, match="with 32 codes does not fit"):
        PriorTrainer(wider, codes, None, CPU)
    with pytest.raises(ModelError, match="does not fit 4 maps"):
        PriorTrainer(replace(recipes[1], network=replace(recipes[1].network, earlier_maps=7)), codes, None, CPU)
    run_training(
        PriorTrainer(wider, replace(codes, codebooks=codes.codebooks.repeat(2, axis=1)), None, CPU), tmp_path / "wider", max_steps=1
    )
    with pytest.raises(ModelError, match="has 4 maps of 16"):
        export_prior(tmp_path / "wider", folder)
    with (tmp_path / "codes" / "map_1.u16").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="extract the code maps again"):
        open_code_maps(tmp_path / "codes")
