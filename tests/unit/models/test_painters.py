"""Checks which painters the encoder and the decoder take."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.models.encoders import load_encoder
from vqcodec.models.model import load_model
from vqcodec.models.painters import load_draft_painter, load_painter
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.autoencoder.blocks import Seen, encode_in_blocks
from vqcodec.nn.autoencoder.painting import Painter, paint_in_blocks
from vqcodec.nn.runtime import RUNTIME_VARIABLE

openvino_layers = pytest.importorskip("vqcodec.nn.autoencoder.openvino_layers", reason="the extra fast is not installed")


def painted(painter: Painter, maps: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return paint_in_blocks(painter, maps).astype(np.int64)


def test_the_encoder_paints_nearly_what_the_decoder_paints(photo: NDArray[np.uint8]) -> None:
    """Ranges in the config of a model change nothing of what files decode to."""
    model = load_model(DEFAULT_MODEL, "cpu")
    assert model.config.activation_ranges
    without = load_model(replace(model.config, activation_ranges=()), "cpu")
    maps = [chosen.indices for chosen in encode_in_blocks(load_encoder(without), photo[None, :200, :320])]
    expected = painted(load_painter(without, 0.0), maps)
    assert np.array_equal(painted(load_painter(model, 0.0), maps), expected)
    assert np.array_equal(painted(load_draft_painter(without), maps), expected)
    draft = painted(load_draft_painter(model), maps)
    assert np.array_equal(draft, expected) != openvino_layers.has_8_bits()
    assert np.square(draft - expected).mean() < 1 and np.abs(draft - expected).max() <= 8


def test_what_the_encoder_knows_is_not_computed_again(photo: NDArray[np.uint8]) -> None:
    """Its rounding is another one, which few pixels show; of other pictures it would tell something else."""
    model, seen, other = load_model(DEFAULT_MODEL, "cpu"), list[Seen](), list[Seen]()
    maps = [chosen.indices for chosen in encode_in_blocks(load_encoder(model), photo[None, :200, :320], seen_alone=seen)]
    encode_in_blocks(load_encoder(model), photo[None, 96:296, 128:448], seen_alone=other)
    expected = painted(load_draft_painter(model), maps)
    known = painted(load_draft_painter(model, seen[0].conditions[0]), maps)
    assert np.square(known - expected).mean() < 1 and np.abs(known - expected).max() <= 8
    assert np.square(painted(load_draft_painter(model, other[0].conditions[0]), maps) - expected).mean() > 10
    top = maps[:1]
    assert np.array_equal(painted(load_draft_painter(model, seen[0].conditions[0]), top), painted(load_draft_painter(model), top))


def test_torch_computes_in_floats(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, "torch")
    model = load_model(DEFAULT_MODEL, "cpu")
    maps = [chosen.indices for chosen in encode_in_blocks(load_encoder(model), photo[None, :64, :64], 2)]
    assert np.array_equal(painted(load_draft_painter(model), maps), painted(load_painter(model, 0.0), maps))
