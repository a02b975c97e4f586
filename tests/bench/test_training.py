"""Checks what a training step is said to take."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench import training
from bench.training.parts import OTHER, PARTS, Watch
from tests.bench.test_tables import cells
from tests.unit.training.conftest import CPU, RECIPE
from vqcodec.models.model import Model, load_model
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.vqvae import VQVAE

WITH_PRIORS = replace(RECIPE, rate_weights=(0.2, 0.2, 0.1, 0.1), rate_passes=2, priors_lr_scale=1.0)
FORWARD, BACKWARD, CHOICE, PRIORS = (PARTS[number] for number in (1, 2, 4, 5))


@pytest.fixture(scope="module")
def model(models_root: Path) -> Model:
    return load_model(models_root / "small-test", "cpu")


def convolved(network: VQVAE, side: int) -> int:
    """Returns the operations of the convolutions in a pass of one crop, by the shapes of their weights and outputs."""
    total = 0

    def add(conv: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(conv, nn.Conv2d)
        total += 2 * conv.weight[0].numel() * output.numel()

    handles = [module.register_forward_hook(add) for module in network.modules() if isinstance(module, nn.Conv2d)]
    network(torch.zeros(1, 3, side, side), MapCounts.uniform(4, 1, CPU))
    for handle in handles:
        handle.remove()
    return total


def flops(part: dict[str, float]) -> float:
    return sum(value for key, value in part.items() if key.startswith("flops_"))


def test_operations_are_those_of_the_convolutions(model: Model) -> None:
    one, without = (
        training.counted(model, replace(recipe, batch_size=size, prefix_probabilities=(0, 0, 0, 1)))
        for recipe, size in ((WITH_PRIORS, 1), (RECIPE, 4))
    )
    network = VQVAE(WITH_PRIORS.network)
    expected = convolved(network, WITH_PRIORS.crop_size)
    assert flops(one[FORWARD]) == expected and flops(without[FORWARD]) == 4 * expected
    assert 1.5 * expected < flops(one[BACKWARD]) <= 2 * expected
    assert flops(one[PRIORS]) > flops(one[CHOICE]) > expected, "forward and backward of the priors; twice forward, and distances"
    assert all(part["all_bytes"] >= part["product_bytes"] for part in one.values())
    assert flops(without[CHOICE]) == flops(without[PRIORS]) == 0


def test_time_goes_to_the_innermost_part() -> None:
    times = iter(range(100))
    watch = Watch(lambda: next(times))
    with watch.within(FORWARD), watch.within(CHOICE), watch.within(BACKWARD):
        pass
    with watch.within(FORWARD):
        pass
    seconds = {part: use.seconds for part, use in watch.uses.items() if use.seconds}
    assert seconds == {OTHER: 2, FORWARD: 3, CHOICE: 3}


def test_steps_are_timed_and_told(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, measured = training.counted(model, WITH_PRIORS), training.measured_steps(model, WITH_PRIORS, CPU, 1)
    assert sum(measured["shares"].values()) == pytest.approx(1, abs=0.01) and measured["crops_a_second"] > 0
    assert set(parts) == set(measured["shares"]) == set(PARTS)
    result = {"model": "small", "batch_size": 4, "crop_size": 32, "card": training.CARD, "parts": parts}
    result |= {"logged": {"steps": 300.0, "run": 200.0}, "measured": {"CPU": measured}}
    monkeypatch.setattr(training, "RESULTS", tmp_path)
    (tmp_path / f"training-{training.DEFAULT_MODEL}.json").write_text(json.dumps(result))
    header, *rows = cells(training.step_table())
    assert [row[0] for row in rows] == [*PARTS, "all"] and header[-1] == "share of the time, CPU" and len(header) == len(rows[0]) == 6
    speeds = cells(training.speed_table())
    assert float(speeds[1][1]) > float(speeds[2][1]) > 0 and [row[1] for row in speeds[3:5]] == ["300", "200"]


def test_the_speed_of_a_run_by_its_log(tmp_path: Path) -> None:
    recipe = replace(RECIPE, batch_size=10, lr_schedule=((0, 0.0), (4, 0.0), (5, 1.0), (9, 0.0)))
    rows = [
        {"kind": "step", "step": step, "images_per_s": speed, "elapsed_s": at} for step, speed, at in ((2, 1, 8), (4, 1, 10), (6, 30, 11))
    ]
    rows += [{"kind": "validation", "step": 6, "elapsed_s": 13}, {"kind": "step", "step": 9, "images_per_s": 50, "elapsed_s": 15}]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, rows)))
    assert training.logged_speed(tmp_path / "log", recipe) == {"steps": 40, "run": 10}
