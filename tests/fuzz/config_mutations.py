"""Mutations of the config.json of a model folder."""

import json
from typing import Any, Final

import numpy as np

from tests.fuzz.mutations import cut, pick, scramble

_VALUES: Final = (
    0, 1, -1, 2, 3, 7, 8, 15, 16, 17, 255, 256, 1000, 65536, 65537, 10**6, 2**31, 2**63, 10**30, 0.5, -0.5, 1.5, 3e38, 1e308, 1e-45,
    1e-308, float("nan"), float("inf"), None, True, False, "", "x", "ema", "loss", "../x", "\n", [], {}, [1], [1, 1], [0, 0],
    [10**6, 1], [[1, 1]], {"a": 1},
)  # fmt: skip
"""What stands in place of a value."""
_NAMES: Final = (
    "", "x", "\n", "number", "encoder_blocks.0.conv_2", "encoder_blocks.9.conv_1", "top_encoder.to_code", "top_encoder.skip", "stem",
    "decoder.to_pixels", "decoder.to_pixels.weight", "decoder.blocks.0.depthwise",
)  # fmt: skip
"""What stands in place of a key."""
RANGES: Final = {"activation_ranges": {
    "encoder_blocks.0.conv_1": 4.7, "top_encoder.blocks.0.conv_1": 7.5, "top_encoder.to_code": 3.0, "top_decoder.blocks.0.conv_2": 2.9,
    "top_decoder.up": 3.4, "bottom_encoder.blocks.0.conv_1": 0.5, "decoder.blocks.0.conv_1": 4.0, "decoder.to_pixels": 3.6,
}}  # fmt: skip
"""Ranges of the small golden model's activations in 8 bits, which its config does not have."""


def mutated_config(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns a config with a few other values, or with other bytes."""
    how = rng.integers(12)
    if how == 0:
        return scramble(rng, data)
    if how == 1:
        return cut(rng, data)
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return scramble(rng, data)
    for _ in range(int(rng.integers(1, 4))):
        config = _mutated(rng, config)
    return json.dumps(config).encode()


def _mutated(rng: np.random.Generator, value: Any) -> Any:
    """Returns a value of JSON in which one value is another, has another key, is missing, or is twice there."""
    if isinstance(value, dict) and value and rng.integers(16):
        key = pick(rng, list(value))
        how = rng.integers(24)
        if how > 1:
            return {**value, key: _mutated(rng, value[key])}
        others = _without(value, key)
        return others if how == 0 else {**others, pick(rng, _NAMES): value[key]}
    if isinstance(value, list) and value and rng.integers(6):
        place = int(rng.integers(len(value)))
        others = [[*value, value[place]], value[:place] + value[place + 1 :]]
        return pick(rng, others) if rng.integers(4) == 0 else [*value[:place], _mutated(rng, value[place]), *value[place + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and rng.integers(3) == 0:
        return value + int(rng.integers(-2, 3))
    return pick(rng, _VALUES)


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {other: value for other, value in values.items() if other != key}
