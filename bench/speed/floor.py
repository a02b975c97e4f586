"""What coding a picture takes at least: the products of its networks, counted, over the rate at which this machine does such products."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.speed.ours import FEW, without_kernels
from bench.speed.stages import measure_decoding
from vqcodec.decoding.files import decode_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.format.container import CoderKind
from vqcodec.images.picture import Picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model
from vqcodec.nn.runtime import RUNTIME_VARIABLE

_SIDE: Final = 1024
"""Rows and columns of the matrices whose product is timed: they fit into a cache, and torch's product of them is near a core's best."""
_TIMINGS: Final = 15


def measure_floor(picture: Picture, model: Model, point: OperatingPoint) -> list[dict[str, Any]]:
    """Measures what coding a picture takes of the processor, beside what its products would take alone.

    Returns:
        A row for the codes and for the pixels of decoding, and one for encoding: billions of products in 8 bits and in bfloat16, seconds of
        one core for these, and median seconds of the processor that the work takes, those of all threads together.
    """
    decode_codes_gmac, decode_pixels_gmac, encode_gmac = count_products(picture, model, point)
    core = core_rates()
    decoding = measure_decoding(picture, model, point.rate_weight)[point.num_maps - 1]
    works = [
        ("decode, codes", {"int8": decode_codes_gmac}, decoding["codes_cpu_s"]),
        ("decode, pixels", {"bfloat16": decode_pixels_gmac}, decoding["paint_cpu_s"]),
        ("encode", {"int8": encode_gmac}, _cpu_seconds(lambda: encode_pictures([picture], model, point=point))),
    ]
    return [
        {
            "work": work,
            "gmac": {kind: round(number, 2) for kind, number in gmac.items()},
            "floor_s": round(sum(number / core[kind] for kind, number in gmac.items()), 4),
            "cpu_s": round(seconds, 4),
            "core_gmac_per_s": {kind: round(core[kind], 1) for kind in gmac},
        }
        for work, gmac, seconds in works
    ]


def count_products(picture: Picture, model: Model, point: OperatingPoint) -> tuple[float, float, float]:
    """Returns how many billion products decoding the codes of a picture takes, decoding its pixels, and encoding it.

    Torch does all of it meanwhile, which takes seconds but does the same products as the kernels and the fast runtime.
    """
    with mock.patch.dict(os.environ, {RUNTIME_VARIABLE: "torch"}), without_kernels(model) as plain:
        with _counter() as encoding:
            (encoded,) = encode_pictures([picture], plain, point=point, coder=CoderKind.PRIOR)
        with _counter() as codes:
            decoded = decode_file(encoded.data, model=plain)
        with _counter() as pixels:
            paint([decoded])
    of_codes, of_pixels, of_encoding = (counter.get_total_flops() / 2e9 for counter in (codes, pixels, encoding))
    return of_codes, of_pixels, of_encoding


def core_rates() -> dict[str, float]:
    """Returns how many billion products of int8 and of bfloat16 numbers one core does in a second, at best, by torch."""
    threads = torch.get_num_threads()
    numbers = torch.randint(-127, 127, (_SIDE, _SIDE), generator=torch.Generator().manual_seed(0), dtype=torch.int8)
    reals = numbers.bfloat16()
    torch.set_num_threads(1)
    try:
        seconds = {"int8": _least_seconds(lambda: torch._int_mm(numbers, numbers)), "bfloat16": _least_seconds(lambda: reals @ reals)}
    finally:
        torch.set_num_threads(threads)
    return {kind: _SIDE**3 / of_kind / 1e9 for kind, of_kind in seconds.items()}


def _counter() -> FlopCounterMode:
    """Returns a counter of operations, two a product, that knows the products of int8 matrices, too."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten._int_mm: _int_mm_flops})


def _int_mm_flops(a_shape: list[int], b_shape: list[int], *_: Any, **__: Any) -> int:
    return 2 * a_shape[0] * a_shape[1] * b_shape[1]


def _least_seconds(work: Callable[[], Any]) -> float:
    return min(_timed(work) for _ in range(_TIMINGS))


def _cpu_seconds(work: Callable[[], Any]) -> float:
    return median(_timed(work) for _ in range(FEW))


def _timed(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
