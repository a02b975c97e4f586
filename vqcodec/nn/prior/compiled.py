"""The native priors of priors in torch, kept as long as their parameters do not change."""

from weakref import WeakKeyDictionary

from vqcodec.nn.prior.fixed_layers import FixedLinear
from vqcodec.nn.prior.native import NativePrior, has_native_priors
from vqcodec.nn.prior.pixelsnail import PixelSnail

_kept: WeakKeyDictionary[FixedLinear, tuple[tuple[object, ...], NativePrior | None]] = WeakKeyDictionary()
"""By their head, which priors of every sharpness share."""


def native_prior_of(prior: PixelSnail) -> NativePrior | None:
    """Returns a prior on the CPU, with parameters rounded to their formats, as the kernels take it; None where they do not."""
    if prior.device.type != "cpu" or not has_native_priors():
        return None
    state = tuple((parameter.data_ptr(), parameter._version) for parameter in prior.parameters())
    known = _kept.get(prior.head)
    if known is None or known[0] != state:
        known = _kept[prior.head] = state, _converted(prior)
    return None if known[1] is None else known[1].sharpened(prior.sharpness)


def _converted(prior: PixelSnail) -> NativePrior | None:
    try:
        return NativePrior(prior.config, {name: values.numpy() for name, values in prior.integers().items()})
    except ValueError:
        return None
