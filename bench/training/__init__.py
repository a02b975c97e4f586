"""The step of training autoencoder and priors together: what it must take, what it takes here, and what a whole run took."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from bench.images import RESULTS, read_json
from bench.photos import PHOTOS, photo
from bench.tables import table
from bench.training.parts import OPTIMIZERS, PARTS, Counter, Use, Watch
from vqcodec.compare.machine import cpu_name
from vqcodec.models.devices import resolve_device
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.training.autoencoder import AutoencoderTrainer
from vqcodec.training.compiling import compile_blocks
from vqcodec.training.data import PhotoSet
from vqcodec.training.recipe import AutoencoderRecipe
from vqcodec.training.run_log import LOG_NAME, read_metrics
from vqcodec.training.sizes import Sizes

CARD: Final[dict[str, Any]] = {
    "name": "NVIDIA H200",
    "flops_a_second": {"bfloat16": 989e12, "float32": 67e12},
    "bytes_a_second": 4.8e12,
}
"""What a card can do at most by its data sheet: dense products by tensor cores in bfloat16 and without them in float32, and its memory."""
_PHOTO_PX: Final = 512
_SMALL_PX: Final = 64
_CPU_CROPS: Final = 4
"""Crops of the steps that are measured on a CPU, where a batch of a GPU would take minutes."""
_WARM_UP: Final = {"cpu": 1, "cuda": 10}
"""Steps that are taken before those that are measured."""


def run_training(model_id: str, device_name: str, steps: int) -> None:
    """Counts and measures a step by the recipe of a model; writes bench/results/training-MODEL.json and prints the tables.

    Args:
        model_id: id or folder of a model with priors whose recipe.toml trains autoencoder and priors together.
        device_name: "auto", "cpu" or "cuda".
        steps: number of steps that are measured.
    """
    device = resolve_device(device_name)
    model = load_model(model_id, device=str(device))
    recipe = AutoencoderRecipe.read(model.config.folder / "recipe.toml")
    target = RESULTS / f"training-{model.config.id}.json"
    measured = read_json(target)["measured"] if target.exists() else {}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    result = {
        "model": model.config.id,
        "weights_sha256": model.config.weights_sha256,
        "batch_size": recipe.batch_size,
        "crop_size": recipe.crop_size,
        "card": CARD,
        "parts": counted(load_model(model_id, device="cpu"), recipe),
        "logged": logged_speed(model.config.folder / LOG_NAME, recipe),
        "measured": {**measured, name: measured_steps(model, recipe, device, steps)},
    }
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{step_table()}\n\n{speed_table()}\n\nwritten to {target}")


def counted(model: Model, recipe: AutoencoderRecipe) -> dict[str, dict[str, float]]:
    """Counts operations and bytes of one step of a recipe, without computing anything but a small step of the optimisers.

    Args:
        model: model whose priors learn along, on the CPU.
        recipe: the recipe.

    Returns:
        For each part `flops_<dtype>`, `product_bytes` and `all_bytes` of a step.
    """
    cpu = torch.device("cpu")
    watch, small = Watch(), Watch()
    trainer = _trainer(model, recipe, cpu)
    with FakeTensorMode(allow_non_fake_inputs=True), watch.watching(), Counter(watch):
        trainer.backward(trainer.batch_loss(0))
    small_recipe = replace(recipe, batch_size=1, crop_size=_SMALL_PX, crop_schedule=())
    trainer = _trainer(model, small_recipe, cpu)
    trainer.position = 1.0
    with small.watching(), Counter(small):
        trainer.advance()
    return {part: _figures(small.uses[part] if part == OPTIMIZERS else watch.uses[part]) for part in PARTS}


def _figures(use: Use) -> dict[str, float]:
    flops = {f"flops_{str(dtype).removeprefix('torch.')}": count for dtype, count in use.flops.items()}
    return {**flops, "product_bytes": use.product_bytes, "all_bytes": use.all_bytes}


def measured_steps(model: Model, recipe: AutoencoderRecipe, device: torch.device, steps: int) -> dict[str, Any]:
    """Measures steps of a recipe, on a CPU in CPU seconds and with few crops.

    Returns:
        Crops a step; crops a second over steps that nothing interrupts; and the share of each part in the time, for which a GPU is waited
        for at the end of each part.
    """
    on_gpu = device.type == "cuda"
    recipe = recipe if on_gpu else replace(recipe, batch_size=_CPU_CROPS)
    trainer = _trainer(model, recipe, device)
    trouble = compile_blocks(trainer.networks, device) if on_gpu else "not tried on a CPU"

    def now() -> float:
        if not on_gpu:
            return time.process_time()
        torch.cuda.synchronize(device)
        return time.perf_counter()

    def take(number: int) -> float:
        began = now()
        for _ in range(number):
            trainer.position = 1.0
            trainer.advance()
        return now() - began

    take(_WARM_UP[device.type])
    seconds = take(steps)
    watch = Watch(now)
    with watch.watching():
        take(steps)
    of_parts = sum(use.seconds for use in watch.uses.values())
    return {
        "processor": cpu_name(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "compiled": trouble is None,
        "steps": steps,
        "crops": recipe.batch_size,
        "crops_a_second": round(steps * recipe.batch_size / seconds, 3),
        "shares": {part: round(use.seconds / of_parts, 4) for part, use in watch.uses.items()},
    }


def _trainer(model: Model, recipe: AutoencoderRecipe, device: torch.device) -> AutoencoderTrainer:
    """Returns a run on photos that ship in wheels, resized to squares; what they show does not matter here."""
    pixels = [np.asarray(photo(name).convert("RGB").resize((_PHOTO_PX, _PHOTO_PX))).reshape(-1) for name in PHOTOS]
    sides = np.full(len(pixels), _PHOTO_PX)
    photos = PhotoSet(np.concatenate(pixels), Sizes(sides, sides), "")
    return AutoencoderTrainer(recipe, photos, None, device, model.priors if recipe.rate_weights else ())


def logged_speed(log: Path, recipe: AutoencoderRecipe) -> dict[str, float]:
    """Returns crops a second of the run that trained a model last, by its log.

    The run is that from the first step on at which the recipe's learning rate is not 0.

    Returns:
        `steps`: the mean of what was logged, of steps alone. `run`: crops over all the time that the run took.
    """
    first = max(step for (step, low), (_, high) in pairwise(recipe.lr_schedule) if low == 0 < high)
    rows = [row for row in read_metrics(log) if row["kind"] == "step" and row["step"] >= first]
    began = next(row for row in reversed(read_metrics(log)) if row["step"] <= first)
    crops = recipe.batch_size * (rows[-1]["step"] - began["step"])
    speeds = [row["images_per_s"] for row in rows if row["step"] > first]
    return {"steps": round(float(np.mean(speeds)), 1), "run": round(crops / (rows[-1]["elapsed_s"] - began["elapsed_s"]), 1)}


def _result() -> Any:
    return read_json(RESULTS / f"training-{DEFAULT_MODEL}.json")


def _seconds(part: Mapping[str, float], bytes_key: str, card: Mapping[str, Any]) -> float:
    """Returns the seconds that a card needs at least for a part of a step, for its operations or for its bytes, whichever takes longer."""
    of_products = sum(part.get(f"flops_{name}", 0) / rate for name, rate in card["flops_a_second"].items())
    return float(max(of_products, part[bytes_key] / card["bytes_a_second"]))


def step_table() -> str:
    """Returns what each part of a step takes: operations, bytes, milliseconds at the card's limits, and its share of the measured time."""
    result = _result()
    crops, card, measured = result["batch_size"], result["card"], result["measured"]
    columns = ["part of a step", "GFLOP a crop", "MB a crop: products", "all operations", f"ms a step at least ({card['name']})"]
    figures = {
        name: [
            sum(value for key, value in part.items() if key.startswith("flops_")) / crops / 1e9,
            *(part[key] / crops / 1e6 for key in ("product_bytes", "all_bytes")),
            1e3 * _seconds(part, "product_bytes", card),
            *(100 * device["shares"][name] for device in measured.values()),
        ]
        for name, part in result["parts"].items()
    }
    figures["all"] = [sum(of_parts) for of_parts in zip(*figures.values(), strict=True)]
    formats = ["{:.1f}", "{:.0f}", "{:.0f}", "{:.2f}", *["{:.0f}%"] * len(measured)]
    rows = [[name, *(form.format(value) for form, value in zip(formats, row, strict=True))] for name, row in figures.items()]
    return table([*columns, *(f"share of the time, {name}" for name in measured)], rows)


def speed_table() -> str:
    """Returns crops a second: at the card's limits, as a run was, and as measured."""
    result = _result()
    crops, card, parts = result["batch_size"], result["card"], result["parts"].values()
    floor, unfused = (crops / sum(_seconds(part, key, card) for part in parts) for key in ("product_bytes", "all_bytes"))
    rows = [
        [f"{card['name']}, at least the operations, and the bytes of products", f"{floor:.0f}"],
        [f"{card['name']}, at least the operations, and the bytes of all operations one by one", f"{unfused:.0f}"],
        [f"the run of {result['model']} by its log, steps alone", f"{result['logged']['steps']:.0f}"],
        [f"the run of {result['model']} by its log, validation and checkpoints included", f"{result['logged']['run']:.0f}"],
    ]
    for name, device in result["measured"].items():
        what = f"one thread of {device['processor']}" if name == "CPU" and device["threads"] == 1 else name
        rows.append([f"measured, {what}, {device['crops']} crops a step", f"{device['crops_a_second']:.3g}"])
    return table([f"crops of {result['crop_size']}x{result['crop_size']} pixels", "a second"], rows)
