"""From a training run to a model folder: averaged weights, frequencies and statistics of the codes, recipe and log.

models/<id>/config.json          id, number, network, sha256 of the weights
            weights.safetensors  the autoencoder as float16, `static_freqs`, and the integers of the priors
            recipe.toml          the recipe of the autoencoder
            training.jsonl       its log
            training.png         the log as a plot
            codes.json           use of each codebook over training crops
            MODEL_CARD.md        the beginning of a card, where there is none yet
            <map>-recipe.toml, <map>-training.jsonl   the same of each prior
            perceptual.safetensors, decoder-recipe.toml, decoder-training.jsonl   the perceptual decoder, where there is one
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from vqcodec.coding.frequencies import freqs_from_counts
from vqcodec.errors import ModelError
from vqcodec.format.container import MAX_MAPS, map_name
from vqcodec.models.config import (
    CONFIG_NAME,
    FAITHFUL_DIAL_KEY,
    PERCEPTUAL_DIAL_KEY,
    PERCEPTUAL_NAME,
    WEIGHTS_NAME,
    ModelConfig,
    read_config,
)
from vqcodec.models.model import NETWORK_PREFIX, PRIOR_PREFIX, STATIC_FREQS_KEY, load_model, map_coding
from vqcodec.models.registry import list_models
from vqcodec.nn.autoencoder.decoders import STORED_PREFIXES, Decoder, renamed
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.storage import replacing_files, to_json
from vqcodec.training.checkpoint import CHECKPOINT_NAME, load_checkpoint
from vqcodec.training.code_usage import code_statistics, count_codes
from vqcodec.training.data import PhotoSet
from vqcodec.training.decoder import autoencoder_digest
from vqcodec.training.model_card import first_card
from vqcodec.training.plot import plot_training, require_matplotlib
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe, Recipe
from vqcodec.training.run_log import DECODER_LOG_NAME, LOG_NAME, METRICS_NAME, log_lines, prior_file_name, read_metrics
from vqcodec.training.weights import as_float16, averaged_priors, averaged_weights, prior_tensors

RECIPE_NAME: Final = "recipe.toml"
PLOT_NAME: Final = "training.png"
CODES_NAME: Final = "codes.json"
CARD_NAME: Final = "MODEL_CARD.md"
DECODER_RECIPE_NAME: Final = "decoder-recipe.toml"
_OF_EARLIER_MODEL: Final = (
    *(PERCEPTUAL_NAME, DECODER_RECIPE_NAME, DECODER_LOG_NAME),
    *(prior_file_name(number, name) for number in range(MAX_MAPS) for name in (RECIPE_NAME, LOG_NAME)),
)
"""Names of files of a model that mean nothing beside another autoencoder: its perceptual decoder, its priors' recipes and logs."""
_CROP_SIZE: Final = 256
_COUNTED_AT: Final = (0.0, 0.25, 1.0)
"""Lambdas that codes are chosen by for the order-0 frequencies of a model whose priors learned along."""
_MAX_CHOSEN_CROPS: Final = 192
"""Most crops whose codes are chosen by their cost, which takes much longer than taking the nearest."""
_CHOSEN_COST: Final = 10
"""How much longer, about; progress goes by it."""

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


@dataclasses.dataclass(frozen=True)
class _Run:
    """The content of a run's folder.

    Attributes:
        state: state of the run in its checkpoint.
        recipe_toml: recipe of the run as TOML, with a comment on each change in the middle of the run.
        log: lines of the log up to the checkpoint.
    """

    state: dict[str, Any]
    recipe_toml: str
    log: list[dict[str, Any]]


def model_in(folder: Path) -> ModelConfig | None:
    """Returns the config of the model in a folder; None where there is none, or a broken one."""
    try:
        return read_config(folder)
    except ModelError:
        return None


def check_free(folder: Path, number: int) -> None:
    """Checks that a model may be written to a folder under a number; a model that is in the folder already counts for nothing.

    Raises:
        ModelError: The number is that of another model, installed or in a folder beside, or the id that of one installed elsewhere.
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


def kind_of_run(run: Path) -> Literal["autoencoder", "prior", "decoder"]:
    """Returns what a run trained.

    Raises:
        ModelError: The folder holds no checkpoint and log.
    """
    for name in (CHECKPOINT_NAME, METRICS_NAME):
        if not (run / name).is_file():
            raise ModelError(f"{run}: holds no {name}, expected the folder of a training run")
    recipe = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))["recipe"]
    return "prior" if "fixed_from" in recipe else "decoder" if "discriminator" in recipe else "autoencoder"


def export_autoencoder(
    run: Path,
    folder: Path,
    photos: PhotoSet,
    *,
    number: int,
    num_crops: int = 2000,
    seed: int = 1,
    on_stage: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> ModelConfig:
    """Makes a model folder, whose name becomes the model's id, with the priors and the perceptual decoder that learned along, if any.

    Order-0 frequencies are those of the nearest codes; where priors learned along, those of codes chosen as `encode` does at several
    lambdas.

    Args:
        run: folder of a training run.
        folder: folder to write; files of a model in it are replaced.
        photos: training photos, for the order-0 frequencies.
        number: the model's permanent number in files.
        num_crops: number of random crops that codes are counted on, of 256x256 pixels, or of the recipe's size where photos are smaller.
        seed: seed of these crops.
        on_stage: function that is called with what is being done when something begins that takes long.
        on_progress: function that is called with the share of the crops that are counted, 0..1.

    Raises:
        ModelError: The run has no checkpoint or log, or its weights are not finite, or matplotlib, which plots the log, is not installed.
    """
    require_matplotlib()
    recipe, opened = _open_run(run, AutoencoderRecipe)
    network = VQVAE(recipe.network).eval().requires_grad_(False)
    network.load_state_dict(averaged_weights(opened.state))
    tensors = as_float16(network.stored_state())
    network.load_stored_state({key: value.float() for key, value in tensors.items()})
    priors = averaged_priors(opened.state["priors"]) if "priors" in opened.state else []
    crop_size = _CROP_SIZE if photos.sizes.largest_side >= _CROP_SIZE else recipe.crop_size
    num_chosen = min(num_crops, _MAX_CHOSEN_CROPS) if priors else 0
    total, done = num_crops + _CHOSEN_COST * num_chosen, 0

    def counted(crops: int) -> None:
        nonlocal done
        done += crops
        on_progress(done / total)

    on_stage(f"counting the codes of {num_crops} crops of {crop_size}x{crop_size} pixels")
    counts = count_codes(network, photos, num_crops=num_crops, crop_size=crop_size, seed=seed, on_progress=counted)
    freqs = _static_freqs(counts)
    if priors:
        codings = [
            map_coding(number, of_map, priors[number] if number < len(priors) else None, recipe.top_max_rate_weight)
            for number, of_map in enumerate(freqs)
        ]
        on_stage(f"choosing the codes of {num_chosen} of them by their cost")
        chosen = count_codes(
            network,
            photos,
            num_crops=num_chosen,
            crop_size=crop_size,
            seed=seed,
            codings=codings,
            rate_weights=_COUNTED_AT,
            on_progress=lambda crops: counted(_CHOSEN_COST * crops),
        )
        freqs = _static_freqs(chosen)
    data = safetensors.torch.save(
        {
            **{NETWORK_PREFIX + key: value for key, value in tensors.items()},
            STATIC_FREQS_KEY: torch.from_numpy(freqs.astype(np.int32)),
            **{key: value for map_number, prior in enumerate(priors) for key, value in prior_tensors(map_number, prior).items()},
        }
    )
    values = {
        "id": folder.name,
        "number": number,
        "parameters": sum(parameter.numel() for parameter in network.parameters())
        + (network.codebooks.numel() if recipe.network.codebook_update == "ema" else 0),
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "network": dataclasses.asdict(recipe.network),
        **({"priors": [dataclasses.asdict(prior.config) for prior in priors]} if priors else {}),
        "top_max_rate_weight": recipe.top_max_rate_weight,
    }
    painter = _painter_files(opened) if "painter" in opened.state else {}
    if painter:
        values["perceptual_sha256"] = hashlib.sha256(painter[PERCEPTUAL_NAME]).hexdigest()
        values["perceptual_extra_blocks"] = recipe.perceptual_extra_blocks
    statistics = {"crops": num_crops, "crop_size": crop_size, "seed": seed, "maps": code_statistics(counts)}
    files = {
        WEIGHTS_NAME: data,
        CODES_NAME: to_json(statistics),
        RECIPE_NAME: opened.recipe_toml.encode(),
        LOG_NAME: log_lines(opened.log),
        PLOT_NAME: plot_training(opened.log),
        **{prior_file_name(map_number, LOG_NAME): log_lines(_bits_log(opened.log, map_number)) for map_number in range(len(priors))},
        **painter,
    }
    if not (folder / CARD_NAME).exists():
        files[CARD_NAME] = first_card(values, statistics, opened.log, recipe_name=RECIPE_NAME, plot_name=PLOT_NAME).encode()
    return _write_model(folder, values, files, stale=_OF_EARLIER_MODEL)


def export_prior(run: Path, folder: Path) -> ModelConfig:
    """Adds the prior of a training run to a model folder, or replaces the one of the same map there.

    Files that the model's earlier weights wrote can then be decoded by those weights alone, since the digest of the weights changes. Dials,
    which were measured with the earlier priors, are removed.

    Raises:
        ModelError: The run has no checkpoint or log, or the folder no model, or one that the prior does not fit, or that lacks the prior of
            an earlier map.
        ValueError: Weights have dot products that could exceed exact arithmetic.
    """
    recipe, opened = _open_run(run, PriorRecipe)
    prior = PixelSnail(recipe.network)
    prior.load_state_dict(averaged_weights(opened.state))
    number, codebook_size = recipe.network.earlier_maps, recipe.network.codebook_size
    network = read_config(folder).network
    if number >= network.num_maps or codebook_size != network.codebook_size:
        raise ModelError(
            f"{run}: a prior of map {map_name(number)} with {codebook_size} codes; "
            f"{folder} has {network.num_maps} maps of {network.codebook_size}"
        )
    values = _config_values(folder)
    priors = values.get("priors", [])
    if number > len(priors):
        raise ModelError(
            f"{folder}: has priors of {len(priors)} maps, expected that of {map_name(number - 1)} before that of {map_name(number)}"
        )
    kept = safetensors.torch.load((folder / WEIGHTS_NAME).read_bytes())
    kept = {key: value for key, value in kept.items() if not key.startswith(PRIOR_PREFIX.format(number))}
    data = safetensors.torch.save(kept | prior_tensors(number, prior))
    values = {key: value for key, value in values.items() if key not in (FAITHFUL_DIAL_KEY, PERCEPTUAL_DIAL_KEY)}
    values["priors"] = [*priors[:number], dataclasses.asdict(recipe.network), *priors[number + 1 :]]
    values["weights_sha256"] = hashlib.sha256(data).hexdigest()
    files = {
        WEIGHTS_NAME: data,
        prior_file_name(number, RECIPE_NAME): opened.recipe_toml.encode(),
        prior_file_name(number, LOG_NAME): log_lines(opened.log),
    }
    return _write_model(folder, values, files)


def export_decoder(run: Path, folder: Path) -> ModelConfig:
    """Adds the perceptual decoder of a training run, as float16, to the folder of the model that it was trained for.

    Raises:
        ModelError: The run has no checkpoint or log, or the folder no model, or one whose autoencoder is not the one that the decoder was
            trained for.
    """
    recipe, opened = _open_run(run, DecoderRecipe)
    network = load_model(read_config(folder), "cpu").network
    if opened.state["autoencoder"] != autoencoder_digest(network):
        raise ModelError(f"{run}: a decoder for the codes of another autoencoder than that of {folder}")
    decoder = Decoder(dataclasses.replace(network.config, blocks_decoder=network.config.blocks_decoder + recipe.extra_blocks))
    decoder.load_state_dict(averaged_weights(opened.state))
    data = safetensors.torch.save(as_float16(decoder.stored_state()))
    values = _config_values(folder)
    values.pop(PERCEPTUAL_DIAL_KEY, None)  # it was measured by another decoder
    values["perceptual_sha256"] = hashlib.sha256(data).hexdigest()
    values["perceptual_extra_blocks"] = recipe.extra_blocks
    files = {PERCEPTUAL_NAME: data, DECODER_RECIPE_NAME: opened.recipe_toml.encode(), DECODER_LOG_NAME: log_lines(opened.log)}
    return _write_model(folder, values, files)


def _open_run(run: Path, kind: type[AnyRecipe]) -> tuple[AnyRecipe, _Run]:
    """Reads the folder of a run.

    Raises:
        ModelError: There is no checkpoint, or no whole line in the log up to its step.
    """
    state = load_checkpoint(run / CHECKPOINT_NAME, torch.device("cpu"))
    recipe = kind.from_dict(state["recipe"])
    log = [row for row in read_metrics(run / METRICS_NAME) if row["step"] <= state["step"]]
    if not log:
        raise ModelError(f"{run / METRICS_NAME}: holds no whole line up to step {state['step']}, expected the log of a training run")
    changes = "".join(f"# {change}\n" for change in state["changes"])
    return recipe, _Run(state, changes + recipe.to_toml(), log)


def _write_model(folder: Path, values: dict[str, Any], files: Mapping[str, bytes], stale: Sequence[str] = ()) -> ModelConfig:
    """Writes files into a model folder, its config last, and reads that back."""
    with replacing_files(folder, last=CONFIG_NAME, stale=stale) as new:
        for name, data in {**files, CONFIG_NAME: to_json(values)}.items():
            (new / name).write_bytes(data)
    return read_config(folder)


def _config_values(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    return values


def _static_freqs(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([freqs_from_counts(row) for row in counts])


def _bits_log(log: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Returns what the log of an autoencoder whose priors learned along says of one of them, as a log of its own."""
    return [
        {**{key: row[key] for key in ("kind", "step", "elapsed_s")}, "bits_per_code": row["bits_per_code"][number]}
        for row in log
        if row.get("bits_per_code")
    ]


def _painter_files(run: _Run) -> dict[str, bytes]:
    """Returns the files of a perceptual decoder that learned along: weights, recipe, and what the log says of it."""
    decoder = averaged_weights(run.state["painter"])
    keys = ("kind", "step", "elapsed_s", "lpips", "perceptual_psnr_db", "perceptual_lpips")
    log = [{key: row[key] for key in keys if key in row} for row in run.log]
    return {
        PERCEPTUAL_NAME: safetensors.torch.save(as_float16(renamed(decoder, {name: stored for stored, name in STORED_PREFIXES.items()}))),
        DECODER_RECIPE_NAME: run.recipe_toml.encode(),
        DECODER_LOG_NAME: log_lines(log),
    }
