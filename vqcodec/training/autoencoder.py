"""Training of the autoencoder: networks, codebooks and, where the recipe says so, the priors that tell what codes cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vqcodec.errors import ModelError
from vqcodec.format.container import map_name, map_scale
from vqcodec.models.config import read_config
from vqcodec.models.model import Model, load_decoder, load_model
from vqcodec.nn.autoencoder.growth import check_growth, grown_state
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.quantizer import VectorQuantizer
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.ranks import gathered, mean_over_ranks, part_of, sum_over_ranks
from vqcodec.nn.transfer import upload
from vqcodec.training.data import PhotoSet
from vqcodec.training.losses import low_frequency_error
from vqcodec.training.metrics import AutoencoderMetrics, AutoencoderValidation, Timing
from vqcodec.training.mixture import CropMixture
from vqcodec.training.online_painter import Judges, OnlinePainter
from vqcodec.training.online_priors import OnlinePriors
from vqcodec.training.pixels import psnr_of_error, squared_error, to_8_bits, to_tensor
from vqcodec.training.rate import ParallelRateDistortionChoice
from vqcodec.training.recipe import LEAST_LPIPS_PX, AutoencoderRecipe
from vqcodec.training.run_log import LOG_NAME, last_step
from vqcodec.training.trainer import Trainer, step_rng

_INIT_STEP: Final = 1 << 32
"""Number that stands for a step in the seed of the crops that a network starts from; no run has as many steps."""
_HIDDEN_PARTS: Final = ("blocks.", ".down.", ".up.", ".merge.")
"""Parts of the names of parameters that belong to hidden layers."""


class AutoencoderTrainer(Trainer[AutoencoderMetrics, AutoencoderValidation]):
    """A run that trains an autoencoder.

    Args:
        recipe: settings of the run.
        photos: photos to train on.
        validation: held-out photos, or None.
        device: device to train on.
        priors: priors of all maps, which tell what codes cost, where the recipe has `rate_weights`; else none.

    Raises:
        ModelError: The recipe needs priors of more maps or of another number of codes, or takes none.
        ValueError: No photo is as large as the largest crops; or a perceptual decoder learns along, and no held-out photo is as large as
            LPIPS needs.
    """

    recipe: AutoencoderRecipe
    network: VQVAE

    def __init__(
        self,
        recipe: AutoencoderRecipe,
        photos: PhotoSet,
        validation: PhotoSet | None,
        device: torch.device,
        priors: Sequence[PixelSnail] = (),
    ) -> None:
        if priors and not recipe.rate_weights:
            raise ModelError("priors say what codes cost, but the recipe has no rate_weights")
        if recipe.rate_weights and len(priors) < recipe.network.num_maps:
            raise ModelError(f"rate_weights need priors of {recipe.network.num_maps} maps, found {len(priors)}")
        if wrong := {prior.config.codebook_size for prior in priors} - {recipe.network.codebook_size}:
            raise ModelError(f"rate_weights need priors of {recipe.network.codebook_size} codes, found {min(wrong)}")
        photos.sizes.with_room_for(recipe.largest_crop_size)
        if validation is not None and recipe.perceptual_share:
            validation.sizes.with_room_for(LEAST_LPIPS_PX)
        self.online = OnlinePriors(priors, recipe) if recipe.priors_lr_scale else None
        self.priors = priors if self.online is None else self.online.priors
        torch.manual_seed(recipe.seed)
        network = VQVAE(recipe.network).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(recipe, network, device, is_hidden=lambda name: any(part in name for part in _HIDDEN_PARTS))
        self.crops = CropMixture.of(photos, recipe, device)
        self.painter = OnlinePainter(recipe, device) if recipe.perceptual_share else None
        for quantizer in self.quantizers():
            quantizer.is_frozen = recipe.codebooks_frozen
        self.held_out = validation.held_out_crops() if validation else None
        self._window = _Window()
        self._latest_crops = torch.empty((0, 0, 0, 3), dtype=torch.uint8)

    @property
    def networks(self) -> list[nn.Module]:
        """The network, the priors that tell what codes cost, and the perceptual decoder that learns along."""
        return [self.network, *self.priors, *([] if self.painter is None else [self.painter.network])]

    @property
    def averaged_network(self) -> VQVAE:
        """The network with the averaged weights."""
        assert isinstance(self.averaged.module, VQVAE)
        return self.averaged.module

    def quantizers(self) -> list[VectorQuantizer]:
        """Returns the quantisers in the order of the maps."""
        return [module for module in self.network.modules() if isinstance(module, VectorQuantizer)]

    def batch_loss(self, number: int) -> Tensor:
        """Returns the loss of random crops, and adds to the gradients of the priors that learn along."""
        recipe, rng = self.recipe, step_rng(self.recipe.seed, number)
        part = part_of(batch_size := recipe.batch_size_at(self.position))
        crops = self.crops.random(batch_size, recipe.crop_size_at(self.position), rng, part)
        x = to_tensor(crops, self.device)
        probabilities = np.array(recipe.prefix_probabilities) / sum(recipe.prefix_probabilities)
        num_maps = 1 + rng.choice(len(probabilities), size=batch_size, p=probabilities)
        counts = MapCounts.of(num_maps, recipe.network.num_maps, self.device, part)
        choose = None
        if recipe.rate_weights:
            largest = np.array(recipe.rate_weights, np.float32)[num_maps - 1]
            weights = upload((largest * (rng.random(batch_size) ** 2).astype(np.float32))[part], self.device)
            choose = ParallelRateDistortionChoice(self.priors, weights, counts, recipe.rate_passes, recipe.top_max_rate_weight)
        judges = None if self.painter is None else self.painter.draw(num_maps, rng, part)
        paint = None if self.painter is None or judges is None else self.painter.paint_beside(self.network.decoder, judges)
        self.network.train()
        with self.autocast():
            output = self.network(x, counts, choose=choose, paint=paint)
        error = squared_error(x, output.x_hat)
        distance = error if judges is None else error.index_add(0, judges.perceptual, self._looks(x, output.x_hat, judges))
        of_images = torch.log(distance + recipe.log_mse_floor)
        if recipe.low_frequency_weight:
            of_images = of_images + recipe.low_frequency_weight * low_frequency_error(x, output.x_hat)
        share = counts.having[0].share
        loss: Tensor = share * of_images.mean() + recipe.commitment_weight * output.commitment_loss + output.codebook_loss
        logits: list[Tensor] = []
        if self.online is not None:
            bits, logits = self.online.add_gradients(output.indices, counts, keep_logits=recipe.soft_rate_weight > 0)
            self._window.bits.append(bits)
        if recipe.soft_rate_weight and choose is not None:
            codebooks = [quantizer.codebook for quantizer in self.quantizers()]
            cost = choose.soft_cost(output.residuals, codebooks, logits or choose.logits(output.indices), recipe.soft_rate_temperature)
            loss = loss + recipe.soft_rate_weight * recipe.commitment_weight / recipe.network.embedding_dim * cost
        self._window.losses.append(loss.detach())
        self._window.errors.append(error.detach())
        self._window.perplexities.append(torch.stack(output.perplexity).detach())
        self._latest_crops = crops
        return loss

    def finish_step(self) -> None:
        """Takes a step with what learns along, and now and then looks for dead codes."""
        recipe = self.recipe
        for companion in (self.online, self.painter):
            if companion is not None:
                self.note_finite(companion.step(recipe.lr_factor(self.position)))
        if not recipe.codebooks_frozen and self.position <= recipe.dead_code_until and self.step % recipe.dead_code_steps == 0:
            self._window.revived.append(self.revive_dead_codes(self._latest_crops))

    def inputs(self) -> dict[str, str]:
        """Returns the fingerprint of the photos."""
        return {"photos": self.crops.photos.fingerprint}

    def _looks(self, x: Tensor, x_hat: Tensor, judges: Judges) -> Tensor:
        """Returns what LPIPS adds to the squared errors of the crops that the perceptual decoder painted, [P], and keeps LPIPS."""
        assert self.painter is not None
        distances = self.painter.distances(x[judges.perceptual], x_hat[judges.perceptual])
        self._window.lpips.append(distances.detach())
        return self.painter.looks(distances)

    def report(self, timing: Timing) -> AutoencoderMetrics:
        """Returns means over the steps since the last report."""
        window, self._window = self._window, _Window()
        return AutoencoderMetrics(
            **asdict(timing),
            loss=float(sum_over_ranks(torch.stack(window.losses).mean())),
            psnr_db=float(mean_over_ranks(psnr_of_error(torch.cat(window.errors)))),
            perplexity=tuple(torch.stack(window.perplexities).mean(dim=0).tolist()),
            revived=sum(map(int, window.revived)),
            bits_per_code=tuple(sum_over_ranks(torch.stack(window.bits)).nanmean(dim=0).tolist()) if window.bits else (),
            lpips=() if self.painter is None else self.painter.mean_lpips(window.lpips),
        )

    def validate(self) -> AutoencoderValidation | None:
        """Returns PSNR of every prefix and perplexity of every map over the middle of some held-out photos."""
        if self.held_out is None:
            return None
        psnr_db, perplexity = measure(self.averaged_network, self.held_out, self.device)
        looks = ((), ()) if self.painter is None else map(tuple, self.painter.measure(self.averaged_network, self.held_out))
        return AutoencoderValidation(self.step, self.elapsed_s, tuple(psnr_db), tuple(perplexity), *looks)

    def start_anew(self) -> None:
        """Makes linear paths and codebooks start from random crops (`VQVAE.init_from_images`).

        Raises:
            ModelError: The crops have no components to start from, as those of black photos have not.
        """
        recipe = self.recipe
        self.on_stage(f"fitting the linear start of the network to {recipe.init_crops} crops")
        crops = self.crops.random(recipe.init_crops, recipe.crop_size, step_rng(recipe.seed, _INIT_STEP))
        generator = torch.Generator().manual_seed(recipe.seed)
        self.network.init_from_images(
            to_tensor(crops, self.device), generator, lambda number: self.on_stage(f"fitting the codebook of map {map_name(number)}")
        )
        if not all(bool(parameter.isfinite().all()) for parameter in self.network.parameters()):
            raise ModelError(f"{recipe.init_crops} crops of the photos are too much alike to start a network from; other photos are needed")
        if self.painter is not None:
            self.painter.start_as(self.network.decoder.state_dict())

    @property
    def log_name(self) -> str:
        """The name of the log in a model folder."""
        return LOG_NAME

    def start_from(self, folder: Path) -> None:
        """Goes on from the weights, the step and the time of an exported model, with fresh optimisers and running means of codebooks.

        A smaller network grows into the recipe's (`nn.autoencoder.growth`) and paints the same pictures at first. A perceptual decoder that
        learns along starts as that of the model, where it has one, else as its own decoder.

        Raises:
            ModelError: The folder holds no model, or one without a log or with a network that cannot grow into the recipe's, or with a
                perceptual decoder that is deeper than the recipe's.
        """
        model = load_model(read_config(folder), str(self.device))
        try:
            check_growth(model.network.config, self.recipe.network)
        except ValueError as error:
            raise ModelError(f"the network of {folder} differs from the recipe's [network]: {error}") from error
        self.step, self.elapsed_s = last_step(folder / self.log_name)
        top_codes = self.recipe.batch_size * (self.recipe.crop_size // PATCH_TOP) ** 2
        grown = grown_state(model.network.stored_state(), self.network.stored_state())
        for network in (self.network, self.averaged.module):
            assert isinstance(network, VQVAE)
            network.load_stored_state(grown)
        if self.painter is not None:
            self.painter.start_as(self._perceptual_weights(model))
        for number, (quantizer, freqs) in enumerate(zip(self.quantizers(), model.static_freqs, strict=True)):
            quantizer.restart_means(torch.from_numpy(freqs / freqs.sum() * top_codes * map_scale(number) ** 2))

    def _perceptual_weights(self, model: Model) -> dict[str, Tensor]:
        """Returns the state dict of a model's perceptual decoder, or of the network's own where it has none.

        Raises:
            ModelError: The perceptual decoder is deeper than the recipe's.
        """
        if model.config.perceptual_sha256 is None:
            return self.network.decoder.state_dict()
        if (found := model.config.perceptual_extra_blocks) > self.recipe.perceptual_extra_blocks:
            expected = self.recipe.perceptual_extra_blocks
            raise ModelError(f"{model.config.folder}: its perceptual decoder has {found} extra blocks, the recipe {expected}")
        return load_decoder(model, 1.0).state_dict()

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs, with the priors and the perceptual decoder that learn along."""
        state = super().state()
        for name, companion in self._companions().items():
            if companion is not None:
                state[name] = companion.state()
        return state

    def _companions(self) -> dict[str, OnlinePriors | OnlinePainter | None]:
        """Returns what may learn along, by its name in checkpoints."""
        return {"priors": self.online, "painter": self.painter}

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run.

        Raises:
            ModelError: The checkpoint is of another network or optimiser, or of a run with which priors or a perceptual decoder learned
                along where they do not here, or the other way round, or of a perceptual decoder of another depth.
        """
        super().load_state(state)
        names = {"priors": ("priors", "priors_lr_scale"), "painter": ("a perceptual decoder", "perceptual_share")}
        for name, companion in self._companions().items():
            if (companion is not None) != (name in state):
                what, key = names[name]
                found = what if name in state else f"no {what.removeprefix('a ')}"
                raise ModelError(f"the checkpoint holds {found} that learned along; the recipe's {key} does not fit that")
            if companion is not None:
                companion.load_state(state[name])

    def _residuals(self, crops: Tensor) -> list[Tensor]:
        """Returns the vectors that each quantiser is given for crops, [N*h*w, D] a map."""
        inputs: list[Tensor] = []
        hooks = [
            quantizer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].permute(0, 2, 3, 1).flatten(0, 2)))
            for quantizer in self.quantizers()
        ]
        with self.autocast():
            self.network(to_tensor(crops, self.device), MapCounts.uniform(1, len(crops), self.device))
        for hook in hooks:
            hook.remove()
        return inputs

    @torch.no_grad()
    def revive_dead_codes(self, crops: Tensor) -> Tensor:
        """Moves codes that are hardly used onto random z_e of crops, and returns how many were moved, a scalar."""
        generator = torch.Generator().manual_seed(self.step)
        self.network.eval()
        revived = torch.zeros((), dtype=torch.int64, device=self.device)
        num_crops = self.recipe.batch_size_at(self.position)
        for quantizer, of_part in zip(self.quantizers(), self._residuals(crops), strict=True):
            vectors = gathered(of_part, num_crops)
            threshold = self.recipe.dead_code_share * quantizer.ema_count.mean()
            revived += quantizer.reset_dead_codes(vectors.t()[None, :, None, :], threshold, generator)
        return revived


@torch.no_grad()
def measure(network: VQVAE, crops: NDArray[np.uint8], device: torch.device, batch_size: int = 8) -> tuple[list[float], list[float]]:
    """Measures an autoencoder with the nearest codes.

    Args:
        network: the autoencoder.
        crops: uint8 [N, H, W, 3].
        device: device that the network is on.
        batch_size: number of crops that go through the network together.

    Returns:
        Mean PSNR in dB, over 8-bit pixels, of each prefix of the maps, and perplexity of each map.
    """
    network.eval()
    psnr: list[list[float]] = [[] for _ in range(network.config.num_maps)]
    counts = torch.zeros(network.config.num_maps, network.config.codebook_size)
    for start in range(0, len(crops), batch_size):
        x = to_tensor(crops[start : start + batch_size], device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            indices = network.encode(x)
            for prefix in range(network.config.num_maps):
                counts[prefix] += torch.bincount(indices[prefix].flatten().cpu(), minlength=network.config.codebook_size)
                x_hat = network.decode(indices[: prefix + 1]).float()
                psnr[prefix] += psnr_of_error(squared_error(x, to_8_bits(x_hat))).tolist()
    pmf = counts / counts.sum(dim=1, keepdim=True)
    perplexity = torch.exp(-(pmf * pmf.clamp_min(1e-12).log()).sum(dim=1))
    return [float(np.mean(values)) for values in psnr], perplexity.tolist()


@dataclass
class _Window:
    """The figures of the steps since the last report."""

    losses: list[Tensor] = field(default_factory=list)
    errors: list[Tensor] = field(default_factory=list)
    perplexities: list[Tensor] = field(default_factory=list)
    bits: list[Tensor] = field(default_factory=list)
    lpips: list[Tensor] = field(default_factory=list)
    revived: list[Tensor] = field(default_factory=list)
