"""Checks the measurement of batches on a device, by small ones on the CPU."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from bench.speed import gpu, tables
from vqcodec.models.registry import DEFAULT_MODEL


def test_batches_are_measured_and_compared_with_the_cpu(
    small_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    gpu.run_batches(small_model, "cpu", is_quick=True)
    *rows, compared, end = capsys.readouterr().out.splitlines()
    of_batches = [json.loads(row) for row in rows]
    assert [(row["width"], row["height"], row["count"]) for row in of_batches] == [(40, 24, 1), (40, 24, 3), (24, 40, 2)]
    for row in of_batches:
        assert row["decode_images_per_s"] == pytest.approx(row["count"] / row["decode_s"], rel=0.5)
        assert row["decode_codes_s"] <= row["decode_s"]
    expected = "codes and files of 6 images are those of the CPU; their pixels differ by 0 levels at most, in 0.00% of samples"
    assert compared == expected
    assert end == "nothing is written" and not list(tmp_path.iterdir())


def test_codes_that_differ_are_an_error() -> None:
    with pytest.raises(click.ClickException, match="differ"):
        gpu._check([np.zeros(3)], [np.ones(3)], "codes differ")


def test_the_table_tells_that_nothing_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert tables.gpu() == "Batches on a GPU have not been timed yet."
    rates = {
        f"{verb}_{unit}": 12.0 for verb in ("encode", "encode_codes", "decode", "decode_codes") for unit in ("images_per_s", "mpx_per_s")
    }
    row = {"width": 256, "height": 256, "count": 16, "peak_mib": 900, **rates}
    (tmp_path / f"gpu-{DEFAULT_MODEL}.json").write_text(json.dumps({"rows": [row]}), encoding="utf-8")
    assert tables.gpu().splitlines()[-1] == "| 256x256 | 16 | 12, 12.0 | 12, 12.0 | 12, 12.0 | 12, 12.0 | 900 MiB |"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_codes_and_files_of_a_gpu_are_those_of_the_cpu(small_model: str, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.run_batches(small_model, "cuda", is_quick=True)
    assert "codes and files of 6 images are those of the CPU" in capsys.readouterr().out
