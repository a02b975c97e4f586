"""A perceptual decoder that learns beside the autoencoder, so that looks reach encoder and codebooks too.

Each crop of a batch is judged by one of two decoders, drawn at random. The model's own paints it for the squared error alone. The
perceptual one paints it for

    perceptual_mse_weight * MSE + perceptual_lpips_alex_weight * LPIPS (AlexNet) + perceptual_lpips_vgg_weight * LPIPS (VGG)

where MSE is of pixels in [0, 1] and LPIPS of pixels in [-1, 1]. Both gradients go on through the code vectors, so that one file serves both
decoders. The weights 150 and 1 are those of the authors of MS-ILLM for a model without a discriminator (Muckley et al. 2023, "Improving
Statistical Fidelity for Neural Image Compression with Implicit Local Likelihood Models") and of CRDR, which draws its realism in the same
way (Iwai et al. 2024, "Controlling Rate, Distortion, and Realism", section 3); both take pixels in [0, 1] for the MSE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqcodec.errors import ModelError
from vqcodec.images.lpips import Backbone, Lpips
from vqcodec.nn.autoencoder.decoders import Decoder
from vqcodec.nn.autoencoder.growth import grown_state
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.vqvae import VQVAE, Paint
from vqcodec.nn.ranks import sum_gradients, sum_over_ranks
from vqcodec.nn.transfer import upload
from vqcodec.training.optimizers import (
    averaged_copy,
    clip_gradients,
    learning_state,
    load_learning_state,
    make_optimizers,
    set_learning_rates,
)
from vqcodec.training.pixels import psnr_of_error, squared_error, to_8_bits, to_tensor
from vqcodec.training.recipe import AutoencoderRecipe

_HIDDEN_PARTS: Final = ("blocks.", ".up.")
"""Parts of the names of parameters that belong to hidden layers."""


@dataclass(frozen=True)
class Judges:
    """Which crops of a batch are judged by which decoder.

    Attributes:
        faithful, perceptual: int64 [F] and [P], numbers of the crops of either decoder, rising.
        faithful_counts, perceptual_counts: how many maps these have.
        places: int64 [F + P], for each crop of the batch its place in the crops of the first decoder and then of the other.
    """

    faithful: Tensor
    perceptual: Tensor
    faithful_counts: MapCounts
    perceptual_counts: MapCounts
    places: Tensor

    @classmethod
    def of(cls, is_perceptual: NDArray[np.bool_], num_maps: NDArray[np.int64], of_maps: int, device: torch.device) -> Self:
        """Sends to a device which crops, bool [N], are judged by the perceptual decoder, and of how many maps, [N], each is."""
        order = np.argsort(is_perceptual, kind="stable")
        num_faithful = len(order) - int(is_perceptual.sum())
        sent = upload(np.concatenate([order, np.argsort(order)]), device)
        return cls(
            faithful=sent[:num_faithful],
            perceptual=sent[num_faithful : len(order)],
            faithful_counts=MapCounts.of(num_maps[order[:num_faithful]], of_maps, device),
            perceptual_counts=MapCounts.of(num_maps[order[num_faithful:]], of_maps, device),
            places=sent[len(order) :],
        )


class OnlinePainter:
    """A perceptual decoder that learns, with its moving average and optimisers.

    Args:
        recipe: settings of the run; learning rates are those of the autoencoder.
        device: device to train on.

    Raises:
        ImportError: The weights of LPIPS are not installed.
    """

    def __init__(self, recipe: AutoencoderRecipe, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        config = recipe.network
        self.network = Decoder(replace(config, blocks_decoder=config.blocks_decoder + recipe.perceptual_extra_blocks)).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = averaged_copy(self.network, recipe)
        self.optimizers = make_optimizers(self.network, recipe, lambda name: any(part in name for part in _HIDDEN_PARTS))
        weights: dict[Backbone, float] = {"alex": recipe.perceptual_lpips_alex_weight, "vgg": recipe.perceptual_lpips_vgg_weight}
        self.lpips = {backbone: (weight, Lpips(backbone, str(device))) for backbone, weight in weights.items() if weight}

    def start_as(self, weights: Mapping[str, Tensor]) -> None:
        """Makes the decoder paint as one with these weights, which may be smaller, does."""
        grown = grown_state(weights, self.network.state_dict())
        for network in (self.network, self.averaged.module):
            network.load_state_dict(grown)

    def draw(self, num_maps: NDArray[np.int64], rng: np.random.Generator, part: slice = slice(None)) -> Judges | None:
        """Draws which crops of a batch are judged by the perceptual decoder; None where none of the part is.

        Their number is the recipe's share of the batch, rounded up or down at random.

        Args:
            num_maps: number of maps of each crop, [N].
            rng: source of the draw.
            part: which of the crops are those of this process.
        """
        count = int(len(num_maps) * self.recipe.perceptual_share + rng.random())
        if count == 0:
            return None
        is_perceptual = np.zeros(len(num_maps), np.bool_)
        is_perceptual[rng.permutation(len(num_maps))[:count]] = True
        if not is_perceptual[part].any():
            return None
        return Judges.of(is_perceptual[part], num_maps[part], self.recipe.network.num_maps, self.device)

    def paint_beside(self, faithful: Decoder, judges: Judges) -> Paint:
        """Returns the function that paints each crop of a batch by the decoder that it is judged by."""

        def paint(condition: Tensor, z_q_top: Tensor, z_q_bottom: Tensor) -> Tensor:
            parts = []
            if len(judges.faithful):
                of = judges.faithful
                parts.append(faithful.bottom(condition[of], z_q_top[of], z_q_bottom[of], judges.faithful_counts).float())
            of = judges.perceptual
            parts.append(self.network(z_q_top[of], z_q_bottom[of], judges.perceptual_counts).float())
            return torch.cat(parts)[judges.places]

        return paint

    def distances(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Returns LPIPS [networks, N] of images [N, 3, H, W] in [-1, 1] by each of the networks in the loss, AlexNet first."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            return torch.stack([lpips(x, x_hat).float() for _, lpips in self.lpips.values()])

    def mean_lpips(self, kept: Sequence[Tensor]) -> tuple[float, ...]:
        """Returns the mean over all processes of what `distances` gave in some steps, for each network; nothing where it gave none."""
        sums = [torch.zeros(len(self.lpips) + 1, device=self.device)]
        sums += [torch.cat([of_step.sum(dim=1), torch.full((1,), float(of_step.shape[1]), device=self.device)]) for of_step in kept]
        *totals, count = sum_over_ranks(torch.stack(sums).sum(dim=0)).tolist()
        return tuple(total / count for total in totals) if count else ()

    def looks(self, distances: Tensor) -> Tensor:
        """Returns what LPIPS [networks, N] adds to squared errors on the [-1, 1] scale, [N]: it weighs as much beside them as is asked for.

        Errors of pixels in [0, 1] are a quarter of those.
        """
        weights = [4 * weight / self.recipe.perceptual_mse_weight for weight, _ in self.lpips.values()]
        return torch.stack([weight * of_network for weight, of_network in zip(weights, distances, strict=True)]).sum(dim=0)

    def step(self, lr_factor: float) -> Tensor:
        """Takes one step down the gradients that the autoencoder's loss left here, at a share of the peak learning rates.

        Returns:
            The norm of the gradients before clipping, a scalar.
        """
        set_learning_rates(self.optimizers, self.recipe, lr_factor)
        sum_gradients(self.network.parameters())
        norm = clip_gradients(self.network, self.recipe.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.network)
        return norm

    @torch.no_grad()
    def measure(self, network: VQVAE, crops: NDArray[np.uint8], batch_size: int = 4) -> tuple[list[float], list[float]]:
        """Measures the averaged decoder on the nearest codes of an autoencoder.

        Args:
            network: the autoencoder.
            crops: uint8 [N, H, W, 3].
            batch_size: number of crops that are painted together.

        Returns:
            Mean PSNR in dB and mean LPIPS, by the first network in the loss, of 8-bit pixels painted of each prefix of the maps.
        """
        figures: list[list[Tensor]] = [[] for _ in range(network.config.num_maps)]
        for start in range(0, len(crops), batch_size):
            x = to_tensor(crops[start : start + batch_size], self.device)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                indices = network.encode(x)
                pictures = [self.averaged.module(*network.lookup(indices[: count + 1])).float() for count in range(len(figures))]
            for of_prefix, x_hat in zip(figures, map(to_8_bits, pictures), strict=True):
                of_prefix.append(torch.stack([psnr_of_error(squared_error(x, x_hat)), self.distances(x, x_hat)[0]]))
        psnr_db, lpips = torch.stack([torch.cat(of_prefix, dim=1).mean(dim=1) for of_prefix in figures]).T.tolist()
        return psnr_db, lpips

    def state(self) -> dict[str, Any]:
        """Returns all that `load_state` needs."""
        return learning_state(self.network, self.averaged, self.optimizers)

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from the state of another run.

        Raises:
            ModelError: The decoder of that run has another depth.
        """
        if state["network"].keys() != self.network.state_dict().keys():
            expected = self.recipe.perceptual_extra_blocks
            raise ModelError(f"the checkpoint's perceptual decoder has not the recipe's {expected} perceptual_extra_blocks")
        load_learning_state(state, self.network, self.averaged, self.optimizers)
