"""Where the time of encode and decode goes: the profiler's seconds, summed by stage."""

import cProfile
import pstats
from collections.abc import Callable
from typing import Any, Final

from vqcodec.codec import decode_codes, encode_pictures, open_file, paint
from vqcodec.image import Picture
from vqcodec.registry import Model

_STAGES: Final = {
    "encoder network": ("hidden", "top_encoder", "z_e_bottom"),
    "decoder network": ("paint",),
    "prior": ("logits", "push", "__init__"),
    "choice of codes": ("choose",),
    "frequencies and coder": ("freqs_from_logits", "encode_prior", "decode", "encode_static", "encode_raw"),
    "container": ("read_container", "write_container", "read_metadata", "write_metadata"),
}
"""Functions whose cumulative seconds count for a stage; none of them calls another one listed, but for those of its own name."""

_FILES: Final = ("vqvae.py", "codec.py", "wavefront.py", "rate_distortion.py", "frequencies.py", "coders.py", "container.py", "metadata.py")


def measure_stages(picture: Picture, model: Model, quality: int) -> dict[str, dict[str, float]]:
    """Seconds of each stage of encoding and of decoding one picture; "other" is what the stages leave of the whole."""
    (encoded,) = encode_pictures([picture], model, quality=quality)
    return {
        "encode": _profiled(lambda: encode_pictures([picture], model, quality=quality)),
        "decode": _profiled(lambda: _decode(encoded.data, model)),
    }


def _decode(data: bytes, model: Model) -> None:
    (decoded,) = decode_codes([open_file(data, model=model)])
    if isinstance(decoded, Exception):
        raise decoded
    paint([decoded])


def _profiled(work: Callable[[], Any]) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.runcall(work)
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    seconds = dict.fromkeys(_STAGES, 0.0)
    total = sum(own for _, _, own, _, _ in stats.values())
    largest: dict[tuple[str, str], float] = {}
    for (file, _, function), (_, _, _, cumulative, _) in stats.items():
        if file.endswith(_FILES):
            largest[file, function] = max(cumulative, largest.get((file, function), 0.0))
    for stage, functions in _STAGES.items():
        seconds[stage] = sum(value for (_, function), value in largest.items() if function in functions)
    seconds["other"] = total - sum(seconds.values())
    return {stage: round(value, 4) for stage, value in seconds.items() if value > 0}
