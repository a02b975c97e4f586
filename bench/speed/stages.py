"""Seconds of the stages of encode and decode, summed from those of a profiler."""

import cProfile
import inspect
import pstats
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import numpy as np

from bench.speed.ours import FEW
from vqcodec.coding.coders import PriorDecoder, encode_prior, encode_raw, encode_static
from vqcodec.coding.frequencies import shares_from_logits
from vqcodec.decoding.files import decode_codes, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.format.container import read_container, write_container
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import Model
from vqcodec.nn.autoencoder.codebooks import nearest
from vqcodec.nn.autoencoder.painting import paint_in_blocks
from vqcodec.nn.configs import PATCH_TOP
from vqcodec.nn.prior.native import NativePrior
from vqcodec.nn.prior.wavefront import Wavefront

_STAGES: Final[dict[str, tuple[Callable[..., Any], ...]]] = {
    "decoder network": (paint_in_blocks,),
    "priors": (Wavefront.__init__, Wavefront.logits, Wavefront.push, NativePrior.decode, NativePrior.encode, NativePrior.choose),
    "nearest codes": (nearest,),
    "frequencies": (shares_from_logits,),
    "coder": (PriorDecoder.decode, encode_prior, encode_static, encode_raw),
    "container": (read_container, write_container),
}
"""The functions whose cumulative seconds count for each stage but the encoder network; none of them calls another. Where compiled kernels
walk on their own, their frequencies and their coder count as priors."""


def measure_stages(picture: Picture, model: Model, point: OperatingPoint) -> dict[str, dict[str, float]]:
    """Measures median seconds of each stage of encoding and of decoding one picture; "other" is what the stages leave of the whole."""
    (encoded,) = encode_pictures([picture], model, point=point)
    encoder = type(load_encoder(model))
    seen = type(load_encoder(model)(np.zeros((1, PATCH_TOP, PATCH_TOP, 3), np.uint8)))
    stages = {"encoder network": (encoder.__call__, seen.z_e_top, seen.z_e_bottom), **_STAGES}
    runs = [
        {
            "encode": _profiled(lambda: encode_pictures([picture], model, point=point), stages),
            "decode": _profiled(lambda: _decode(encoded.data, model), stages),
        }
        for _ in range(FEW)
    ]
    return {verb: {stage: round(median(run[verb][stage] for run in runs), 4) for stage in runs[0][verb]} for verb in runs[0]}


def measure_decoding(picture: Picture, model: Model, rate_weight: float) -> list[dict[str, float]]:
    """Measures median seconds of the processor, those of all threads together, to decode files of each number of maps: codes and pixels."""
    rows = []
    for num_maps in range(1, model.config.num_maps + 1):
        (encoded,) = encode_pictures([picture], model, point=OperatingPoint(num_maps, rate_weight))
        seconds = []
        for _ in range(FEW):
            started = time.process_time()
            (decoded,) = decode_codes([open_file(encoded.data, model=model)])
            known = time.process_time()
            paint([decoded.or_raise()])
            seconds.append((known - started, time.process_time() - known))
        codes_s, paint_s = (round(median(of_part), 4) for of_part in zip(*seconds, strict=True))
        rows.append({"maps": num_maps, "codes_cpu_s": codes_s, "paint_cpu_s": paint_s})
    return rows


def _decode(data: bytes, model: Model) -> None:
    (decoded,) = decode_codes([open_file(data, model=model)])
    paint([decoded.or_raise()])


def _profiled(work: Callable[[], Any], stages: dict[str, tuple[Callable[..., Any], ...]]) -> dict[str, float]:
    """Returns the seconds of each stage of some work, of those that it has, given the functions of each."""
    profile = cProfile.Profile()
    profile.runcall(work)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    seconds = {}
    for stage, functions in stages.items():
        if called := [stats[key][3] for key in map(_key, functions) if key in stats]:
            seconds[stage] = sum(called)
    seconds["other"] = sum(own for _, _, own, _, _ in stats.values()) - sum(seconds.values())
    return seconds


def _key(function: Callable[..., Any]) -> tuple[str, int, str]:
    """Returns the name that the profiler has for a function."""
    code = inspect.unwrap(function).__code__
    return code.co_filename, code.co_firstlineno, code.co_name
