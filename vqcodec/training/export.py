"""From a training run to a model folder: averaged weights as float16, order-0 frequencies, statistics of the codes, the log.

models/<id>/config.json          id, number, network, sha256 of the weights
            weights.safetensors  the autoencoder and `static_freqs`
            recipe.toml          what was run
            training.jsonl       its log
            training.png         the log as a plot
            codes.json           use of each codebook over training crops
            MODEL_CARD.md        the beginning of one, where there is none yet
            perceptual.safetensors, decoder-recipe.toml, decoder-training.jsonl   the perceptual decoder, where there is one
            <map>-recipe.toml, <map>-training.jsonl   the same of each prior, whose integers are in weights.safetensors, too
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from vqcodec.checks import config_from_dict
from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.coding.maps import MapCoding
from vqcodec.errors import ModelError
from vqcodec.format.container import MAX_MAPS, map_name
from vqcodec.models.config import CONFIG_NAME, PERCEPTUAL_NAME, WEIGHTS_NAME, ModelConfig, read_config
from vqcodec.models.model import NETWORK_PREFIX, PRIOR_PREFIX, STATIC_FREQS_KEY, load_model
from vqcodec.models.registry import list_models
from vqcodec.nn.autoencoder.blocks import encode_in_blocks
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.quantizer import choose_nearest
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate.choice import RateDistortionChoice
from vqcodec.training.checkpoint import load_checkpoint
from vqcodec.training.data import PhotoSet
from vqcodec.training.decoder import DECODER_LOG_NAME, autoencoder_digest
from vqcodec.training.loop import CHECKPOINT_NAME, LOG_NAME, METRICS_NAME, prior_file_name, read_metrics, step_rng, write_metrics
from vqcodec.training.plot import plot_training, require_matplotlib
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe
from vqcodec.training.storage import replacing_files

RECIPE_NAME = "recipe.toml"
PLOT_NAME = "training.png"
CODES_NAME = "codes.json"
CARD_NAME = "MODEL_CARD.md"
DECODER_RECIPE_NAME = "decoder-recipe.toml"
_OF_EARLIER_MODEL = (
    *(PERCEPTUAL_NAME, DECODER_RECIPE_NAME, DECODER_LOG_NAME),
    *(prior_file_name(number, name) for number in range(MAX_MAPS) for name in (RECIPE_NAME, LOG_NAME)),
)
"""Names of files of a model that mean nothing beside another autoencoder: its perceptual decoder, its priors' recipes and logs."""
_COUNTED_BATCH = 16
_COUNTED_AT = (0.0, 0.25, 1.0)
_MAX_CHOSEN_CROPS = 192


def model_in(folder: Path) -> ModelConfig | None:
    """The model of a folder; None where there is none, or a broken one."""
    try:
        return read_config(folder)
    except ModelError:
        return None


def check_free(folder: Path, number: int) -> None:
    """Checks that a model may be written to `folder` with this number; one that is there already counts for nothing.

    Raises:
        ModelError: the number is that of another model, installed or in a folder beside, or the id that of one installed elsewhere.
    """
    folder = folder.resolve()
    installed = [model for model in list_models() if model.folder.resolve() != folder]
    beside = [model_in(path.parent) for path in sorted(folder.parent.glob(f"*/{CONFIG_NAME}")) if path.parent != folder]
    for model in (*installed, *beside):
        if model is not None and model.number == number and model.id != folder.name:
            raise ModelError(f"number {number} is that of {model.id}, expected one that no other model has; private ones from 1000")
    for model in installed:
        if model.id == folder.name and model.folder.resolve().parent != folder.parent:
            raise ModelError(f"{folder.name} is the id of an installed model, expected another name for the folder")


def count_codes(
    network: VQVAE,
    photos: PhotoSet,
    *,
    num_crops: int,
    crop_size: int,
    seed: int,
    codings: Sequence[MapCoding] = (),
    rate_weights: Sequence[float] = (0.0,),
) -> NDArray[np.int64]:
    """How often each code is used over random crops, int64 [maps, K]; batches are encoded by `codings` at `rate_weights` in turn."""
    rng = step_rng(seed, 0)
    config = network.config
    counts = np.zeros((config.num_maps, config.codebook_size), np.int64)
    for start, rate_weight in zip(range(0, num_crops, _COUNTED_BATCH), cycle(rate_weights), strict=False):
        crops = photos.random_crops(min(_COUNTED_BATCH, num_crops - start), crop_size, rng)
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
        choose = RateDistortionChoice(codings, rate_weight, pixels=pixels) if rate_weight else choose_nearest
        with torch.inference_mode():
            maps = encode_in_blocks(network, pixels, choose=choose)
        for number, chosen in enumerate(maps):
            counts[number] += np.bincount(chosen.indices.numpy().ravel(), minlength=config.codebook_size)
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
    """Writes the model folder `folder`, whose name becomes the model's id; with the priors that learned along, where the run has them.

    Order-0 frequencies are then those of codes chosen as `encode` does at several lambdas, else of the nearest codes.

    Args:
        run: folder of a training run.
        folder: to write; its files are replaced.
        photos: the training photos, for the order-0 frequencies.
        number: the model's permanent number in files.
        num_crops: random 256x256 crops (or the recipe's crop size, where photos are smaller) that codes are counted on.
        seed: of these crops.

    Raises:
        ModelError: `run` holds no checkpoint or log, or matplotlib, for the plot of the log, is not installed.
    """
    require_matplotlib()
    state = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))
    recipe, log = AutoencoderRecipe.from_dict(state["recipe"]), _read_log(run, state["step"])
    network = VQVAE(recipe.network).eval().requires_grad_(False)
    network.load_state_dict(_averaged(state))
    tensors = {key: value.half().contiguous() for key, value in network.stored_state().items()}
    network.load_stored_state({key: value.float() for key, value in tensors.items()})
    crop_size = 256 if min(photos.heights.max(), photos.widths.max()) >= 256 else recipe.crop_size
    counts = count_codes(network, photos, num_crops=num_crops, crop_size=crop_size, seed=seed)
    priors = _averaged_priors(state["priors"]) if "priors" in state else []
    chosen = counts
    if priors:
        limits = [recipe.top_max_rate_weight] + [math.inf] * (len(priors) - 1)
        codings = [
            MapCoding(map_number, freqs_from_counts(row), prior, limit)
            for map_number, (row, prior, limit) in enumerate(zip(counts, priors, limits, strict=True))
        ]
        num_chosen = min(num_crops, _MAX_CHOSEN_CROPS)
        chosen = count_codes(
            network, photos, num_crops=num_chosen, crop_size=crop_size, seed=seed, codings=codings, rate_weights=_COUNTED_AT
        )
    freqs = np.stack([freqs_from_counts(row) for row in chosen]).astype(np.int32)
    exported = {f"{NETWORK_PREFIX}{key}": value for key, value in tensors.items()}
    exported[STATIC_FREQS_KEY] = torch.from_numpy(freqs)
    for map_number, prior in enumerate(priors):
        exported |= {PRIOR_PREFIX.format(map_number) + key: value.contiguous() for key, value in prior.integers().items()}
    data = safetensors.torch.save(exported)

    config = {
        "id": folder.name,
        "number": number,
        "parameters": sum(parameter.numel() for parameter in network.parameters())
        + (network.codebooks.numel() if recipe.network.codebook_update == "ema" else 0),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "network": dataclasses.asdict(recipe.network),
        **({"priors": [dataclasses.asdict(prior.config) for prior in priors]} if priors else {}),
        "top_max_rate_weight": recipe.top_max_rate_weight,
    }
    statistics = {"crops": num_crops, "crop_size": crop_size, "seed": seed, "maps": code_statistics(counts)}
    with replacing_files(folder, last=CONFIG_NAME, stale=_OF_EARLIER_MODEL) as new:
        (new / WEIGHTS_NAME).write_bytes(data)
        (new / CODES_NAME).write_text(to_json(statistics), encoding="utf-8")
        (new / RECIPE_NAME).write_text(recipe.to_toml(), encoding="utf-8")
        write_metrics(new / LOG_NAME, log)
        plot_training(new / LOG_NAME, new / PLOT_NAME)
        for map_number in range(len(priors)):
            write_metrics(new / prior_file_name(map_number, LOG_NAME), bits_log(log, map_number))
        if not (folder / CARD_NAME).exists():
            (new / CARD_NAME).write_text(_model_card(config, statistics, log), encoding="utf-8")
        (new / CONFIG_NAME).write_text(to_json(config), encoding="utf-8")
    return read_config(folder)


def bits_log(log: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """What the log of an autoencoder whose priors learned along says of one of them, as a log of its own."""
    return [
        {**{key: row[key] for key in ("kind", "step", "elapsed_s")}, "bits_per_code": row["bits_per_code"][number]}
        for row in log
        if row.get("bits_per_code")
    ]


def _model_card(config: dict[str, Any], statistics: dict[str, Any], log: list[dict[str, Any]]) -> str:
    """The beginning of a model card; what data it saw and what it is for is the trainer's to say."""
    held_out = [row for row in log if row["kind"] == "validation"]
    lines = [
        f"# {config['id']}",
        "",
        f"Number {config['number']}, {config['parameters'] / 1e6:.2f} M parameters, sha256 `{config['weights_sha256']}`. Trained by "
        f"[{RECIPE_NAME}]({RECIPE_NAME}) for {log[-1]['step']} steps and {log[-1]['elapsed_s'] / 3600:.2f} hours; "
        f"[{LOG_NAME}]({LOG_NAME}) is the log.",
        "",
        f"![The log as a plot]({PLOT_NAME})",
        "",
        f"Over {statistics['crops']} random {statistics['crop_size']}x{statistics['crop_size']} training crops"
        + (f", and on held-out photos after {held_out[-1]['step']} steps:" if held_out else ":"),
        "",
        "| map | dead codes | perplexity | bits/code, order 0 | held-out PSNR with the maps up to it |",
        "|---|---|---|---|---|",
    ]
    for number, row in enumerate(statistics["maps"]):
        psnr = f"{held_out[-1]['psnr_db'][number]:.2f} dB" if held_out else ""
        lines.append(f"| {row['name']} | {row['dead_codes']} | {row['perplexity']:.0f} | {row['entropy_bits']:.2f} | {psnr} |")
    return "\n".join([*lines, "", "Training data, intended use, limits: to be written.", ""])


def export_prior(run: Path, folder: Path) -> ModelConfig:
    """Adds the prior of a training run to a model folder, or replaces the one of the same map there.

    Files that the model's earlier weights wrote can then be decoded by those weights alone: the digest of the weights changes. Dials,
    which were measured with the earlier priors, are removed.

    Raises:
        ModelError: `run` holds no checkpoint or log, `folder` no model or one that lacks the prior of an earlier map.
        ValueError: weights whose dot products could exceed exact arithmetic.
    """
    state = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))
    recipe = PriorRecipe.from_dict(state["recipe"])
    prior = PixelSnail(recipe.network)
    prior.load_state_dict(_averaged(state))
    number = recipe.network.earlier_maps
    network = read_config(folder).network
    num_maps, codebook_size = network.num_maps, network.codebook_size
    if number >= num_maps or recipe.network.codebook_size != codebook_size:
        raise ModelError(
            f"{run}: a prior of map {map_name(number)} with {recipe.network.codebook_size} codes; "
            f"{folder} has {num_maps} maps of {codebook_size}"
        )
    values = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    priors = values.get("priors", [])
    if number > len(priors):
        raise ModelError(
            f"{folder}: has priors of {len(priors)} maps, expected that of {map_name(number - 1)} before that of {map_name(number)}"
        )
    prefix = PRIOR_PREFIX.format(number)
    kept = safetensors.torch.load((folder / WEIGHTS_NAME).read_bytes())
    kept = {key: value for key, value in kept.items() if not key.startswith(prefix)}
    data = safetensors.torch.save(kept | {prefix + key: value.contiguous() for key, value in prior.integers().items()})
    values["priors"] = [*priors[:number], dataclasses.asdict(recipe.network), *priors[number + 1 :]]
    values["weights_sha256"] = hashlib.sha256(data).hexdigest()
    for name in ("dial", "perceptual_dial"):
        values.pop(name, None)
    with replacing_files(folder, last=CONFIG_NAME) as new:
        (new / WEIGHTS_NAME).write_bytes(data)
        (new / prior_file_name(number, RECIPE_NAME)).write_text(recipe.to_toml(), encoding="utf-8")
        write_metrics(new / prior_file_name(number, LOG_NAME), _read_log(run, state["step"]))
        (new / CONFIG_NAME).write_text(to_json(values), encoding="utf-8")
    return read_config(folder)


def export_decoder(run: Path, folder: Path) -> ModelConfig:
    """Adds the perceptual decoder of a training run to the folder of the model that it was trained for, as float16.

    Raises:
        ModelError: `run` holds no checkpoint or log, `folder` no model, or other weights than those that the decoder was trained for.
    """
    state = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))
    recipe = DecoderRecipe.from_dict(state["recipe"])
    values = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    network = load_model(read_config(folder), "cpu").network
    if state["autoencoder"] != autoencoder_digest(network):
        raise ModelError(f"{run}: a decoder for the codes of another autoencoder than that of {folder}")
    decoder = Decoder(dataclasses.replace(network.config, blocks_decoder=network.config.blocks_decoder + recipe.extra_blocks))
    decoder.load_state_dict(_averaged(state))
    data = safetensors.torch.save({key: value.half().contiguous() for key, value in decoder.stored_state().items()})
    values["perceptual_sha256"] = hashlib.sha256(data).hexdigest()
    values["perceptual_extra_blocks"] = recipe.extra_blocks
    with replacing_files(folder, last=CONFIG_NAME) as new:
        (new / PERCEPTUAL_NAME).write_bytes(data)
        (new / DECODER_RECIPE_NAME).write_text(recipe.to_toml(), encoding="utf-8")
        write_metrics(new / DECODER_LOG_NAME, _read_log(run, state["step"]))
        (new / CONFIG_NAME).write_text(to_json(values), encoding="utf-8")
    return read_config(folder)


def _read_log(run: Path, step: int) -> list[dict[str, Any]]:
    """The whole lines of a run's log up to the checkpoint's step, at least one."""
    log = [row for row in read_metrics(run / METRICS_NAME) if row["step"] <= step]
    if not log:
        raise ModelError(f"{run / METRICS_NAME}: holds no whole line up to step {step}, expected the log of a training run")
    return log


def _averaged_priors(state: dict[str, Any]) -> list[PixelSnail]:
    """The priors that learned along, of what `OnlinePriors.state` gave, rounded to their number formats."""
    priors = [PixelSnail(config_from_dict(PriorConfig, values, "the checkpoint's prior")) for values in state["configs"]]
    torch.nn.ModuleList(priors).load_state_dict(_averaged(state))
    for prior in priors:
        prior.eval().requires_grad_(False).load_integers(prior.integers())
    return priors


def _averaged(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The averaged weights in a checkpoint, as the network itself names them."""
    return {key.removeprefix("module."): value for key, value in state["averaged"].items() if key != "n_averaged"}


def to_json(values: dict[str, Any]) -> str:
    """Indented JSON with lists of numbers on one line."""
    text = json.dumps(values, indent=1)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda match: " ".join(match[0].split()).replace("[ ", "[").replace(" ]", "]"), text) + "\n"


def kind_of_run(run: Path) -> Literal["autoencoder", "prior", "decoder"]:
    """What a run trained.

    Raises:
        ModelError: `run` holds no checkpoint and log.
    """
    for name in (CHECKPOINT_NAME, METRICS_NAME):
        if not (run / name).is_file():
            raise ModelError(f"{run}: holds no {name}, expected the folder of a training run")
    recipe = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))["recipe"]
    return "prior" if "fixed_from" in recipe else "decoder" if "lpips_weight" in recipe else "autoencoder"
