"""Checks vqcodec as one of the codecs that are compared."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

import vqcodec.rate.tint
from vqcodec.compare.ours import VQCODEC, Vqcodec
from vqcodec.compare.selection import select_codecs
from vqcodec.info import read_info


def test_a_number_of_maps_is_what_a_file_holds(small_model: str, photo: np.ndarray) -> None:
    codec = Vqcodec("raw", model_id=small_model, rate_weight=0.0, coder="raw", knob="maps", settings=(1, 2))
    pixels = np.ascontiguousarray(photo[:40, :56])
    for setting in codec.settings:
        data = codec.encode(pixels, setting)
        assert [coded.coder for coded in read_info(data).maps] == ["raw"] * int(setting)
        assert codec.decode(data).shape == pixels.shape


def test_a_model_without_the_perceptual_decoder_is_skipped(small_model: str) -> None:
    codecs = (Vqcodec("realism", small_model, realism=1.0), Vqcodec("perceptual", small_model, tune="perceptual"))
    selection = select_codecs(known=codecs)
    assert selection.codecs == [] and set(selection.skipped) == {"realism", "perceptual"}
    assert all("small-test" in reason for reason in selection.skipped.values())


def test_the_version_tells_dial_and_decoder() -> None:
    versions = {codec.name: codec.model_version().split(", ") for codec in VQCODEC}
    kinds = {name: [part.split()[0] for part in parts] for name, parts in versions.items()}
    assert kinds["vqcodec"] == kinds["vqcodec-psnr"] == ["vqcodec", "format", "photo-v5", "dial"]
    assert kinds["vqcodec-perceptual"] == [*kinds["vqcodec"], "perceptual"]
    assert kinds["vqcodec-raw"] == kinds["vqcodec"][:3]
    assert len({versions[name][3] for name in ("vqcodec", "vqcodec-psnr", "vqcodec-perceptual")}) == 3
    assert replace(VQCODEC[1], settings=VQCODEC[0].settings).model_version() == VQCODEC[0].model_version()


@pytest.mark.usefixtures("small_trial")
def test_the_version_changes_with_the_files(small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Vqcodec("raw", small_model, rate_weight=0.0, coder="raw", knob="maps", settings=(1, 2))
    before = codec.version()
    assert codec.version() == before and before.startswith(f"{codec.model_version()}, trial ")
    monkeypatch.setattr(vqcodec.rate.tint, "_STEPS", ())
    assert codec.version() != before, "a version without the colour layer"


def test_a_codec_whose_model_is_loaded_is_still_small_to_send() -> None:
    codec = VQCODEC[0]
    assert codec.model_version()
    assert len(pickle.dumps(codec)) < 1000 and pickle.loads(pickle.dumps(codec)) == codec
