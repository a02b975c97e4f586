"""Use of an autoencoder's codes: how often each one is taken over random crops of photos."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vqcodec.coding.maps import MapCoding
from vqcodec.format.container import map_name
from vqcodec.nn.autoencoder.blocks import encode_in_blocks, nearest_at
from vqcodec.nn.autoencoder.torch_encoder import TorchEncoder
from vqcodec.nn.autoencoder.vqvae import VQVAE
from vqcodec.rate.choice import RateDistortionChoice, place_weights
from vqcodec.training.data import PhotoSet
from vqcodec.training.trainer import step_rng

_BATCH: Final = 16


def count_codes(
    network: VQVAE,
    photos: PhotoSet,
    *,
    num_crops: int,
    crop_size: int,
    seed: int,
    codings: Sequence[MapCoding] = (),
    rate_weights: Sequence[float] = (0.0,),
    on_progress: Callable[[int], None] = lambda _: None,
) -> NDArray[np.int64]:
    """Counts how often each code is used over random crops.

    Args:
        network: autoencoder that encodes.
        photos: photos that crops are drawn from.
        num_crops: number of crops.
        crop_size: side of a crop in pixels, a multiple of 8.
        seed: seed of the draw.
        codings: means to code the maps, for lambdas above 0.
        rate_weights: lambdas that batches have their codes chosen by, in turn; 0 takes the nearest codes.
        on_progress: function that is called with the number of crops that were counted since the last call.

    Returns:
        int64 [maps, K].
    """
    rng = step_rng(seed, 0)
    encoder, config = TorchEncoder(network), network.config
    counts = np.zeros((config.num_maps, config.codebook_size), np.int64)
    for start, rate_weight in zip(range(0, num_crops, _BATCH), cycle(rate_weights), strict=False):
        crops = photos.random_crops(min(_BATCH, num_crops - start), crop_size, rng)
        choose_at = RateDistortionChoice(codings, rate_weight, weights=place_weights(crops)).within if rate_weight else nearest_at
        maps = encode_in_blocks(encoder, crops, choose_at=choose_at)
        for number, chosen in enumerate(maps):
            counts[number] += np.bincount(chosen.indices.ravel(), minlength=config.codebook_size)
        on_progress(len(crops))
    return counts


def code_statistics(counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Returns an object for each map, with its name, the number of its codes and of dead ones, perplexity, and bits a code at order 0.

    Args:
        counts: [maps, K], from `count_codes`.
    """
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
