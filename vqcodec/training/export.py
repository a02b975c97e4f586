"""From a training run to a model folder: averaged weights as float16, order-0 frequencies, statistics of the codes, the log.

models/<id>/config.json          id, number, network, sha256 of the weights
            weights.safetensors  the autoencoder and `static_freqs`
            recipe.toml          what was run
            training.jsonl       its log
            training.png         the log as a plot
            codes.json           use of each codebook over training crops
"""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from vqcodec.container import map_name
from vqcodec.entropy.frequencies import freqs_from_counts
from vqcodec.errors import ModelError
from vqcodec.nn.vqvae import VQVAE
from vqcodec.registry import CONFIG_NAME, NETWORK_PREFIX, STATIC_FREQS_KEY, WEIGHTS_NAME, ModelConfig, read_config
from vqcodec.training.autoencoder import LOG_NAME, AutoencoderTrainer, to_tensor
from vqcodec.training.checkpoint import load_checkpoint
from vqcodec.training.data import PhotoSet
from vqcodec.training.loop import CHECKPOINT_NAME, METRICS_NAME, step_rng
from vqcodec.training.plot import plot_training
from vqcodec.training.recipe import AutoencoderRecipe

RECIPE_NAME = "recipe.toml"
PLOT_NAME = "training.png"
CODES_NAME = "codes.json"


def count_codes(network: VQVAE, photos: PhotoSet, *, num_crops: int, crop_size: int, seed: int) -> NDArray[np.int64]:
    """How often each code is used over random crops: int64 [maps, K]."""
    rng = step_rng(seed, 0)
    config = network.config
    counts = np.zeros((config.num_maps, config.codebook_size), np.int64)
    for start in range(0, num_crops, 16):
        crops = photos.random_crops(min(16, num_crops - start), crop_size, rng)
        with torch.inference_mode():
            maps = network.encode(to_tensor(crops, torch.device("cpu")))
        for number, indices in enumerate(maps):
            counts[number] += np.bincount(indices.numpy().ravel(), minlength=config.codebook_size)
    return counts


def code_statistics(counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Use of each codebook: one object a map with name, codes, dead_codes, perplexity and entropy_bits (per code)."""
    rows = []
    for number, row in enumerate(counts):
        pmf = row[row > 0] / row.sum()
        entropy_bits = float(-(pmf * np.log2(pmf)).sum())
        rows.append(
            {
                "name": map_name(number),
                "codes": int(row.sum()),
                "dead_codes": int((row == 0).sum()),
                "perplexity": round(2**entropy_bits, 2),
                "entropy_bits": round(entropy_bits, 4),
            }
        )
    return rows


def export_autoencoder(run: Path, folder: Path, photos: PhotoSet, *, number: int, num_crops: int = 2000, seed: int = 1) -> ModelConfig:
    """Writes the model folder `folder`, whose name becomes the model's id.

    Args:
        run: folder of a training run.
        folder: to write; its files are replaced.
        photos: the training photos, for the order-0 frequencies.
        number: the model's permanent number in files.
        num_crops: random 256x256 crops (or the recipe's crop size, where photos are smaller) that codes are counted on.
        seed: of these crops.

    Raises:
        ModelError: `run` holds no checkpoint.
    """
    state = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))
    recipe = AutoencoderRecipe.from_dict(state["recipe"])
    trainer = AutoencoderTrainer(recipe, photos, None, torch.device("cpu"))
    trainer.load_state(state)
    averaged = trainer.averaged_model
    tensors = {key: value.half().contiguous() for key, value in averaged.inference_state().items()}
    network = VQVAE(recipe.model).eval().requires_grad_(False)
    network.load_inference_state({key: value.float() for key, value in tensors.items()})
    crop_size = 256 if min(photos.heights.max(), photos.widths.max()) >= 256 else recipe.crop_size
    counts = count_codes(network, photos, num_crops=num_crops, crop_size=crop_size, seed=seed)
    freqs = np.stack([freqs_from_counts(row) for row in counts]).astype(np.int32)
    exported = {f"{NETWORK_PREFIX}{key}": value for key, value in tensors.items()}
    exported[STATIC_FREQS_KEY] = torch.from_numpy(freqs)
    data = safetensors.torch.save(exported)

    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_NAME).write_bytes(data)
    config = {
        "id": folder.name,
        "number": number,
        "parameters": sum(parameter.numel() for parameter in network.parameters())
        + sum(stage.codebook.numel() for stage in trainer.quantizers() if stage.codebook_update == "ema"),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "network": dataclasses.asdict(recipe.model),
    }
    _write_json(folder / CONFIG_NAME, config)
    _write_json(folder / CODES_NAME, {"crops": num_crops, "crop_size": crop_size, "seed": seed, "maps": code_statistics(counts)})
    (folder / RECIPE_NAME).write_text(recipe.to_toml(), encoding="utf-8")
    shutil.copyfile(run / METRICS_NAME, folder / LOG_NAME)
    plot_training(folder / LOG_NAME, folder / PLOT_NAME)
    return read_config(folder)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def require_run(run: Path) -> None:
    """Raises ModelError unless `run` holds a checkpoint and a log."""
    for name in (CHECKPOINT_NAME, METRICS_NAME):
        if not (run / name).is_file():
            raise ModelError(f"{run}: holds no {name}, expected the folder of a training run")
