"""Vector quantisation by one codebook (`VectorQuantizer`) and by a chain of them (`ResidualQuantizer`).

Sources: van den Oord et al. 2017, "Neural Discrete Representation Learning", section 3 and appendix A.1 (EMA codebook, straight-through
gradient, commitment loss); Zeghidour et al. 2021, "SoundStream", section III.C (residual quantiser, k-means start, dead codes).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vqcodec.nn.autoencoder.map_counts import Images
from vqcodec.nn.configs import CodebookUpdate
from vqcodec.nn.ranks import sum_over_ranks
from vqcodec.nn.transfer import upload

TRAINING_ONLY_BUFFERS: Final = (".ema_count", ".ema_sum")
"""Ends of the names of buffers that weights files do not hold."""

_NEAREST_VECTORS: Final = (1 << 14, 1 << 19)
"""Vectors whose nearest codes are found at a time, on a CPU and on a GPU, so that distances [vectors, K] do not fill the memory."""

_MOST_VECTORS: Final = 1 << 16
"""Most vectors that a codebook is started from."""


@dataclass(frozen=True)
class Quantized:
    """The result of one quantiser stage.

    Attributes:
        z_q: [N, D, h, w], the chosen codebook vectors; carries a gradient to the codebook only where it learns by loss.
        indices: [N, h, w] int64 in [0, K).
        codebook_loss: scalar, mean squared distance from the (fixed) input to the codebook; zero where the codebook learns by EMA.
        perplexity: scalar, exp of the entropy of the codes used in this batch, in [1, K].
        counted: [N] bool, the images that the codebook learned from; None for all.
    """

    z_q: Tensor
    indices: Tensor
    codebook_loss: Tensor
    perplexity: Tensor
    counted: Tensor | None = None

    def commitment(self, z_e: Tensor) -> Tensor:
        """Returns the mean squared distance, a scalar, from z_e [N, D, h, w] to the (fixed) code vectors over the images counted."""
        if self.counted is None:
            return F.mse_loss(z_e, self.z_q.detach())
        distances = (z_e - self.z_q.detach()).square().mean(dim=(1, 2, 3))
        return (distances * self.counted).sum() / self.counted.sum().clamp_min(1)


def straight_through(z_e: Tensor, z_q: Tensor) -> Tensor:
    """Returns the value of z_q with the gradient of z_e (van den Oord et al. 2017, section 3.2)."""
    return z_e + (z_q - z_e).detach()


def _to_vectors(z: Tensor) -> Tensor:
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])


class VectorQuantizer(nn.Module):
    """A quantiser with one codebook [K, D].

    Args:
        codebook_size: K, the number of codes.
        embedding_dim: D, the length of a code's vector.
        codebook_update: "ema" moves each code to the running mean of the vectors assigned to it; "loss" makes the codebook a parameter
            that follows the codebook loss.
        ema_decay: gamma of the running means, in [0, 1).

    Attributes:
        is_frozen: whether the codebook stays as it is in training, too; only the running counts then go on. It is not stored.

    Raises:
        ValueError: ema_decay is out of range, or codebook_update is neither.
    """

    codebook: Tensor
    ema_count: Tensor
    ema_sum: Tensor

    def __init__(self, codebook_size: int, embedding_dim: int, *, codebook_update: CodebookUpdate = "ema", ema_decay: float = 0.99) -> None:
        super().__init__()
        if codebook_update not in ("ema", "loss"):
            raise ValueError(f"codebook_update must be 'ema' or 'loss', not {codebook_update!r}")
        if not 0.0 <= ema_decay < 1.0:
            raise ValueError(f"ema_decay must be in [0, 1), not {ema_decay}")
        self.codebook_size = codebook_size
        self.embedding_dim = embedding_dim
        self.codebook_update = codebook_update
        self.ema_decay = ema_decay
        self.is_frozen = False
        codebook = torch.randn(codebook_size, embedding_dim)
        if codebook_update == "loss":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("ema_count", torch.ones(codebook_size))
        self.register_buffer("ema_sum", codebook.clone())

    @property
    def running_bits(self) -> Tensor:
        """Cost in bits of each code at its running share of the codes, [K]; a code that has died out costs what the rarest may."""
        shares = self.ema_count / self.ema_count.sum().clamp_min(1e-9)
        return -torch.log2(shares.clamp_min(0.01 / self.codebook_size))

    def nearest(self, z_e: Tensor, costs: Tensor | None = None) -> Tensor:
        """Returns the indices [N, h, w] of the codes nearest to z_e [N, D, h, w] in squared distance.

        Args:
            z_e: [N, D, h, w].
            costs: [K], numbers to add to the squared distances.
        """
        half_square = 0.5 * self.codebook.square().sum(dim=1)
        offsets = half_square if costs is None else half_square + 0.5 * costs.float()
        vectors = _to_vectors(z_e).float()
        at_a_time = _NEAREST_VECTORS[z_e.device.type != "cpu"]
        with torch.autocast(z_e.device.type, enabled=False):  # distances in half precision would take other codes than the nearest
            indices = [(offsets - part @ self.codebook.t()).argmin(dim=1) for part in torch.split(vectors, at_a_time)]
        return torch.cat(indices).view(z_e.shape[0], z_e.shape[2], z_e.shape[3])

    def cheapest(self, z_e: Tensor, costs: Tensor, weights: Tensor) -> Tensor:
        """Returns the indices [N, h, w] of the codes with the least sum of squared distance and weighted costs.

        Args:
            z_e: [N, D, h, w].
            costs: [N, h, w, K], or [1, 1, 1, K] where each code costs the same everywhere.
            weights: [N], the factors of the costs of each image.
        """
        n, _, height, width = z_e.shape
        half_square = 0.5 * self.codebook.square().sum(dim=1)
        vectors = z_e.permute(0, 2, 3, 1).flatten(1, 2).float()  # [N, h*w, D]
        half_weights = 0.5 * weights[:, None, None]
        costs = costs.flatten(1, 2).expand(n, -1, -1)  # [N, h*w or 1, K]
        at_a_time = max(1, _NEAREST_VECTORS[z_e.device.type != "cpu"] // (height * width))
        with torch.autocast(z_e.device.type, enabled=False):
            indices = [
                (torch.addcmul(half_square, of_part, factors) - part @ self.codebook.t()).argmin(dim=2)
                for part, of_part, factors in zip(*(torch.split(whole, at_a_time) for whole in (vectors, costs, half_weights)), strict=True)
            ]
        return torch.cat(indices).view(n, height, width)

    def lookup(self, indices: Tensor) -> Tensor:
        """Returns the codebook vectors [N, D, h, w] of indices [N, h, w]."""
        return F.embedding(indices, self.codebook).permute(0, 3, 1, 2)

    def forward(self, z_e: Tensor, indices: Tensor | None = None, counted: Images | None = None) -> Quantized:
        """Quantises z_e; in training mode the codebook's running means learn from it, and from that of processes that train along.

        Args:
            z_e: [N, D, h, w].
            indices: [N, h, w], the codes to take; the nearest ones by default.
            counted: the images to learn from; all by default.
        """
        if indices is None:
            indices = self.nearest(z_e.detach())
        z_q = self.lookup(indices)
        seen = slice(None) if counted is None else counted.numbers
        learned, vectors = indices[seen].flatten(), _to_vectors(z_e.detach()[seen]).float()
        ones = z_q.new_ones(len(learned))
        counts = z_q.new_zeros(self.codebook_size).index_add_(0, learned, ones)  # bincount would wait for the device
        codebook_loss = z_q.new_zeros(())
        if self.codebook_update == "loss" and len(learned) and not self.is_frozen:
            codebook_loss = F.mse_loss(_to_vectors(z_q[seen]), vectors)
        if self.training:
            sum_over_ranks(counts)
        if self.training and (self.codebook_update == "loss" or self.is_frozen):
            self.ema_count.lerp_(counts, 1.0 - self.ema_decay)
        elif self.training and (counted is None or counted.are_anywhere):
            self._update_ema(vectors, learned, counts)
        pmf = counts / counts.sum().clamp_min(1.0)
        perplexity = torch.exp(-(pmf * torch.log(pmf.clamp_min(1e-10))).sum())
        return Quantized(z_q, indices, codebook_loss, perplexity, None if counted is None else counted.mask)

    @torch.no_grad()
    def _update_ema(self, vectors: Tensor, indices: Tensor, counts: Tensor) -> None:
        sums = sum_over_ranks(torch.zeros_like(self.ema_sum).index_add_(0, indices, vectors))
        self.ema_count.lerp_(counts, 1.0 - self.ema_decay)
        self.ema_sum.lerp_(sums, 1.0 - self.ema_decay)
        self.codebook.copy_(self.ema_sum / self.ema_count.clamp_min(1e-5).unsqueeze(1))

    @torch.no_grad()
    def init_from_data(self, z_e: Tensor, generator: torch.Generator, iterations: int = 12) -> None:
        """Sets the codebook by Lloyd's algorithm on at most `_MOST_VECTORS` of z_e [N, D, h, w], started from K of them drawn at random.

        Raises:
            ValueError: There are fewer vectors than codes.
        """
        vectors = _to_vectors(z_e).float()
        if len(vectors) < self.codebook_size:
            raise ValueError(f"{len(vectors)} vectors cannot start a codebook of {self.codebook_size}")
        vectors = vectors[torch.randperm(len(vectors), generator=generator)[:_MOST_VECTORS].to(vectors.device)]
        centres = vectors[: self.codebook_size].clone()
        counts = torch.ones_like(centres[:, 0])
        for _ in range(iterations):
            nearest = (0.5 * centres.square().sum(dim=1) - vectors @ centres.t()).argmin(dim=1)
            counts = torch.bincount(nearest, minlength=self.codebook_size).to(vectors.dtype)
            sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1.0)[:, None], centres)
        self.codebook.copy_(centres)
        self.ema_count.copy_(counts.clamp_min(1.0) * (self.codebook_size / counts.sum()))
        self.ema_sum.copy_(centres * self.ema_count[:, None])

    @torch.no_grad()
    def restart_means(self, counts: Tensor) -> None:
        """Sets the running means to what `counts` [K] vectors a step, each at its code, would have left."""
        self.ema_count.copy_(counts)
        self.ema_sum.copy_(self.codebook * self.ema_count[:, None])

    @torch.no_grad()
    def reset_dead_codes(self, z_e: Tensor, threshold: Tensor, generator: torch.Generator) -> Tensor:
        """Moves codes that are hardly used onto random vectors.

        Args:
            z_e: [N, D, h, w], the vectors.
            threshold: scalar, the running count below which a code is moved.
            generator: on the CPU, draws the vectors.

        Returns:
            The number of codes that were moved, a scalar.
        """
        vectors = _to_vectors(z_e).float()
        dead = self.ema_count < threshold
        picks = upload(torch.randint(len(vectors), (self.codebook_size,), generator=generator).numpy(), vectors.device)
        moved = vectors[picks[dead.cumsum(0) - 1]]  # the first draws go to the dead codes in their order
        count = self.ema_count.mean().clamp_min(1.0)
        self.codebook.copy_(torch.where(dead[:, None], moved, self.codebook))
        self.ema_count.copy_(torch.where(dead, count, self.ema_count))
        self.ema_sum.copy_(torch.where(dead[:, None], moved * count, self.ema_sum))
        return dead.sum()


ChooseMap = Callable[[VectorQuantizer, Tensor, list[Tensor]], Tensor]
"""Function that chooses the indices [N, h, w] of a map, given its quantiser, what is left to quantise [N, D, h, w], and the maps before."""


def choose_nearest(quantizer: VectorQuantizer, residual: Tensor, earlier: list[Tensor]) -> Tensor:  # noqa: ARG001 (a ChooseMap)
    """Chooses the nearest codes, whatever they cost."""
    return quantizer.nearest(residual)
