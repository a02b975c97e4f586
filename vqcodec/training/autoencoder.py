"""The training loop of the autoencoder, on CPU or CUDA."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vqcodec.errors import ModelError
from vqcodec.nn.quantizer import VectorQuantizer
from vqcodec.nn.vqvae import PATCH_TOP, VQVAE, VQVAEOutput
from vqcodec.registry import load_model, read_config
from vqcodec.training.checkpoint import load_checkpoint, save_checkpoint
from vqcodec.training.data import PhotoSet, step_rng
from vqcodec.training.muon import Muon
from vqcodec.training.recipe import AutoencoderRecipe, recipe_from_dict, recipe_to_dict

CHECKPOINT_NAME = "checkpoint.pt"
METRICS_NAME = "metrics.jsonl"
LOG_NAME = "training.jsonl"
_INIT_STEP = 1 << 32
_HIDDEN_PARTS = ("blocks.", ".down.", ".up.", ".merge.")


@dataclass(frozen=True)
class StepMetrics:
    """Means over the steps since the last report.

    Attributes:
        step: number of finished steps.
        loss: the training loss.
        psnr_db: PSNR of the training crops, averaged over images and their random numbers of maps.
        perplexity: of each codebook, in a batch.
        images_per_s: crops a second.
        time_left_s: at this speed.
        elapsed_s: training time so far, over all resumed parts.
        revived: codes moved since the last report.
    """

    step: int
    loss: float
    psnr_db: float
    perplexity: tuple[float, ...]
    images_per_s: float
    time_left_s: float
    elapsed_s: float
    revived: int


@dataclass(frozen=True)
class ValidationMetrics:
    """Held-out figures after `step` steps: mean PSNR in dB and mean perplexity, one value a prefix of the maps or a map."""

    step: int
    elapsed_s: float
    psnr_db: tuple[float, ...]
    perplexity: tuple[float, ...]


def to_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in [-1, 1], channels last."""
    x = torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """[N], mean over each image, on the [-1, 1] scale squared."""
    return (x - x_hat).square().mean(dim=(1, 2, 3))


class AutoencoderTrainer:
    """Network, averaged weights, optimisers and step counter of one run. `step` is the number of finished steps."""

    def __init__(self, recipe: AutoencoderRecipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.step = 0
        self.elapsed_s = 0.0
        torch.manual_seed(recipe.seed)
        self.model = VQVAE(recipe.model).to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaging = get_ema_multi_avg_fn(recipe.weights_ema_decay)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(self.model, multi_avg_fn=averaging, use_buffers=True)
        self.optimizers = self._optimizers()

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        hidden: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            is_hidden = parameter.ndim == 4 and any(part in name for part in _HIDDEN_PARTS)
            (hidden if is_hidden and self.recipe.optimizer == "muon" else rest).append(parameter)
        adamw = torch.optim.AdamW(rest, lr=self.recipe.lr_adamw, betas=(0.9, 0.98), weight_decay=0.0, foreach=True)
        if not hidden:
            return [adamw]
        return [Muon(hidden, lr=self.recipe.lr_muon, weight_decay=self.recipe.weight_decay), adamw]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def quantizers(self) -> list[VectorQuantizer]:
        """The quantisers in the order of the maps."""
        return [module for module in self.model.modules() if isinstance(module, VectorQuantizer)]

    def train_step(self, crops: NDArray[np.uint8], rng: np.random.Generator) -> tuple[VQVAEOutput, Tensor, Tensor]:
        """One update; returns the network's output, the loss and the squared error [N]."""
        recipe = self.recipe
        factor = recipe.lr_factor(self.step + 1)
        for optimizer, peak in zip(reversed(self.optimizers), (recipe.lr_adamw, recipe.lr_muon), strict=False):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
        x = to_tensor(crops, self.device)
        probabilities = np.array(recipe.prefix_probabilities) / sum(recipe.prefix_probabilities)
        num_maps = torch.from_numpy(1 + rng.choice(len(probabilities), size=len(x), p=probabilities)).to(self.device)
        self.model.train()
        with self._autocast():
            output = self.model(x, num_maps)
        error = squared_error(x, output.x_hat)
        distortion = torch.log(error + recipe.log_mse_floor) if recipe.distortion == "log_mse" else error
        loss = distortion.mean() + recipe.commitment_weight * output.commitment_loss + output.codebook_loss
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.averaged.update_parameters(self.model)
        return output, loss.detach(), error.detach()

    def init_from_photos(self, photos: PhotoSet) -> None:
        """Starts linear paths and codebooks from random crops (`VQVAE.init_from_images`)."""
        recipe = self.recipe
        crops = photos.random_crops(recipe.init_crops, recipe.crop_size, step_rng(recipe.seed, _INIT_STEP))
        self.model.init_from_images(to_tensor(crops, self.device), torch.Generator().manual_seed(recipe.seed))

    def start_from(self, folder: Path) -> None:
        """Goes on from an exported model: its weights, step and time. Momenta, and running means of codebooks, start anew.

        Raises:
            ModelError: no model folder, one without a log, or another network.
        """
        model = load_model(read_config(folder), str(self.device))
        if model.network.config != self.recipe.model:
            raise ModelError(f"the network of {folder} differs from the recipe's [model]")
        log = read_metrics(folder / LOG_NAME)
        if not log:
            raise ModelError(f"{folder}: holds no {LOG_NAME}, which says how long the model was trained")
        self.step, self.elapsed_s = log[-1]["step"], log[-1]["elapsed_s"]
        top_codes = self.recipe.batch_size * (self.recipe.crop_size // PATCH_TOP) ** 2
        for network in (self.model, self.averaged.module):
            assert isinstance(network, VQVAE)
            network.load_inference_state(model.network.inference_state())
        for number, (quantizer, freqs) in enumerate(zip(self.quantizers(), model.static_freqs, strict=True)):
            codes = top_codes if number == 0 else 4 * top_codes
            quantizer.restart_means(torch.from_numpy(freqs / freqs.sum() * codes))

    def _residuals(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        """What each quantiser is given for `crops`: [N*h*w, D] a map."""
        inputs: list[Tensor] = []
        hooks = [
            quantizer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].permute(0, 2, 3, 1).flatten(0, 2)))
            for quantizer in self.quantizers()
        ]
        with self._autocast():
            self.model(to_tensor(crops, self.device), torch.ones(len(crops), dtype=torch.int64, device=self.device))
        for hook in hooks:
            hook.remove()
        return inputs

    @torch.no_grad()
    def revive_dead_codes(self, crops: NDArray[np.uint8]) -> int:
        """Moves hardly used codes onto z_e of `crops`; returns how many."""
        generator = torch.Generator().manual_seed(self.step)
        self.model.eval()
        revived = 0
        for quantizer, vectors in zip(self.quantizers(), self._residuals(crops), strict=True):
            threshold = self.recipe.dead_code_share * float(quantizer.ema_count.mean())
            revived += quantizer.reset_dead_codes(vectors.t()[None, :, None, :], threshold, generator)
        return revived

    def state(self) -> dict[str, Any]:
        """All that `load_state` needs to go on exactly."""
        return {
            "recipe": recipe_to_dict(self.recipe),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from `state`. The recipe may differ in length and schedule, not in the network.

        Raises:
            ModelError: the checkpoint is of another network.
        """
        if recipe_from_dict(state["recipe"]).model != self.recipe.model:
            raise ModelError("the checkpoint's network differs from the recipe's [model]")
        self.step = state["step"]
        self.elapsed_s = state["elapsed_s"]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, optimizer_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(optimizer_state)


@torch.no_grad()
def validate(model: VQVAE, crops: NDArray[np.uint8], device: torch.device, batch_size: int = 8) -> tuple[list[float], list[float]]:
    """Mean PSNR in dB (8-bit pixels) of every prefix and perplexity of every map over uint8 crops [N, H, W, 3]."""
    model.eval()
    psnr: list[list[float]] = [[] for _ in range(model.config.num_maps)]
    counts = torch.zeros(model.config.num_maps, model.config.codebook_size)
    for start in range(0, len(crops), batch_size):
        x = to_tensor(crops[start : start + batch_size], device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            indices = model.encode(x)
            for prefix in range(model.config.num_maps):
                counts[prefix] += torch.bincount(indices[prefix].flatten().cpu(), minlength=model.config.codebook_size)
                x_hat = model.decode(indices[: prefix + 1]).float()
                levels = ((x_hat.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
                psnr[prefix] += (-10 * torch.log10(squared_error(x, levels) / 4)).tolist()
    pmf = counts / counts.sum(dim=1, keepdim=True)
    perplexity = torch.exp(-(pmf * pmf.clamp_min(1e-12).log()).sum(dim=1))
    return [float(np.mean(values)) for values in psnr], perplexity.tolist()


def train_autoencoder(
    recipe: AutoencoderRecipe,
    photos: PhotoSet,
    validation: PhotoSet | None,
    out: Path,
    *,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
    max_steps: int | None = None,
    on_step: Callable[[StepMetrics], None] = lambda _: None,
    on_validation: Callable[[ValidationMetrics], None] = lambda _: None,
) -> AutoencoderTrainer:
    """Trains by `recipe`; writes `checkpoint.pt` and `metrics.jsonl` into `out`.

    Args:
        recipe: what to compute.
        photos: to train on.
        validation: held-out photos, or None for no validation.
        out: folder of the run.
        device: CPU or CUDA.
        resume: go on from the checkpoint in `out`; the continuation is exact.
        start_from: a model folder to go on from, instead of starting anew; its log becomes the beginning of this run's.
        max_steps: stop early after this many steps in all; the schedule stays that of the recipe.
        on_step: told the metrics every `log_steps` steps.
        on_validation: told the held-out figures every `validate_steps` steps.

    Raises:
        ModelError: `resume` without a fitting checkpoint, a run already in `out` without `resume`, or an unfit `start_from`.
        ValueError: no photo is as large as a crop.
    """
    torch.set_flush_denormal(True)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, metrics_path = out / CHECKPOINT_NAME, out / METRICS_NAME
    trainer = AutoencoderTrainer(recipe, device)
    if resume:
        trainer.load_state(load_checkpoint(checkpoint, device))
        _write_metrics(metrics_path, [row for row in read_metrics(metrics_path) if row["step"] <= trainer.step])
    elif checkpoint.exists():
        raise ModelError(f"{out}: holds a run already; resume it or name another folder")
    elif start_from is not None:
        trainer.start_from(start_from)
        _write_metrics(metrics_path, read_metrics(start_from / LOG_NAME))
    else:
        metrics_path.unlink(missing_ok=True)
        trainer.init_from_photos(photos)
    held_out = validation.centre_crops(24, 256) if validation else None
    last_step = recipe.steps if max_steps is None else min(recipe.steps, max_steps)
    started = time.perf_counter() - trainer.elapsed_s
    window = _Window(recipe)
    with metrics_path.open("a") as log:
        while trainer.step < last_step:
            rng = step_rng(recipe.seed, trainer.step)
            crops = photos.random_crops(recipe.batch_size, recipe.crop_size, rng)
            window.add(*trainer.train_step(crops, rng))
            step = trainer.step
            if step <= recipe.dead_code_until and step % recipe.dead_code_steps == 0:
                window.revived += trainer.revive_dead_codes(crops)
            trainer.elapsed_s = time.perf_counter() - started
            if step % recipe.log_steps == 0 or step == last_step:
                metrics = window.close(step, trainer.elapsed_s)
                window = _Window(recipe)
                _write_line(log, "step", asdict(metrics))
                on_step(metrics)
            if held_out is not None and (step % recipe.validate_steps == 0 or step == last_step):
                averaged = trainer.averaged.module
                assert isinstance(averaged, VQVAE)
                psnr_db, perplexity = validate(averaged, held_out, device)
                held = ValidationMetrics(step, trainer.elapsed_s, tuple(psnr_db), tuple(perplexity))
                _write_line(log, "validation", asdict(held))
                on_validation(held)
            if step % recipe.checkpoint_steps == 0 or step == last_step:
                save_checkpoint(checkpoint, trainer.state())
    return trainer


class _Window:
    """Sums over the steps between two reports."""

    def __init__(self, recipe: AutoencoderRecipe) -> None:
        self.recipe = recipe
        self.begun = time.perf_counter()
        self.revived = 0
        self.losses: list[Tensor] = []
        self.errors: list[Tensor] = []
        self.perplexities: list[Tensor] = []

    def add(self, output: VQVAEOutput, loss: Tensor, error: Tensor) -> None:
        self.losses.append(loss)
        self.errors.append(error)
        self.perplexities.append(torch.stack(output.perplexity).detach())

    def close(self, step: int, elapsed_s: float) -> StepMetrics:
        steps = len(self.losses)
        seconds = max(1e-9, time.perf_counter() - self.begun)
        psnr = -10 * torch.log10(torch.cat(self.errors) / 4)
        perplexity = torch.stack(self.perplexities).mean(dim=0).tolist()
        return StepMetrics(
            step=step,
            loss=float(torch.stack(self.losses).mean()),
            psnr_db=float(psnr.mean()),
            perplexity=tuple(perplexity),
            images_per_s=steps * self.recipe.batch_size / seconds,
            time_left_s=(self.recipe.steps - step) * seconds / max(1, steps),
            elapsed_s=elapsed_s,
            revived=self.revived,
        )


def _write_line(log: TextIO, kind: str, values: dict[str, Any]) -> None:
    rounded = json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 5))
    log.write(json.dumps({"kind": kind, **rounded}) + "\n")
    log.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, up to the first that a kill cut short; none where there is no log."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
