"""The weights of a run as a model takes them: averaged, finite, and in the number formats of a weights file."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vqcodec.checks import config_from_dict
from vqcodec.errors import ModelError
from vqcodec.models.model import PRIOR_PREFIX
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.pixelsnail import PixelSnail


def averaged_weights(state: dict[str, Any]) -> dict[str, Tensor]:
    """Returns the averaged weights of a state under the names that the network itself has for them.

    Raises:
        ModelError: One is not finite.
    """
    return _checked_finite({key.removeprefix("module."): value for key, value in state["averaged"].items() if key != "n_averaged"})


def _checked_finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights.

    Raises:
        ModelError: One is not finite.
    """
    for key, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise ModelError(
                f"the run's weights {key} are not finite numbers of {str(value.dtype).removeprefix('torch.')}; such a model is not exported"
            )
    return tensors


def as_float16(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns weights as float16.

    Raises:
        ModelError: One is not finite, or beyond the range of float16.
    """
    return _checked_finite({key: value.half().contiguous() for key, value in tensors.items()})


def averaged_priors(state: dict[str, Any]) -> list[PixelSnail]:
    """Returns the priors in a state of `OnlinePriors`, with the averaged weights rounded to their number formats."""
    priors = [PixelSnail(config_from_dict(PriorConfig, values, "the checkpoint's prior")) for values in state["configs"]]
    torch.nn.ModuleList(priors).load_state_dict(averaged_weights(state))
    for prior in priors:
        prior.eval().requires_grad_(False).load_integers(prior.integers())
    return priors


def prior_tensors(number: int, prior: PixelSnail) -> dict[str, Tensor]:
    """Returns the integers of a prior, by their names in a weights file."""
    return {PRIOR_PREFIX.format(number) + key: value.contiguous() for key, value in prior.integers().items()}
