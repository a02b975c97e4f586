"""What variants of a prior reach in short runs of equal length, and what more training of a decoder gains, gathered from the runs' logs."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from bench.images import read_json
from vqcodec.training.decoder import DECODER_LOG_NAME
from vqcodec.training.loop import METRICS_NAME, last_step, read_metrics


def gather_prior_trials(runs: dict[str, Path], model: Path) -> None:
    """Adds to a model's `prior-trials.json` the held-out bits a code at the end of each run; a trial of the same name is replaced."""
    trials = []
    for name, run in runs.items():
        last = _held_out(run)[-1]
        figures = {"steps": last["step"], "seconds": round(last["elapsed_s"]), "bits_per_code": last["bits_per_code_fixed"]}
        trials.append({"trial": name, **figures})
    _add(trials, model / "prior-trials.json")


def gather_decoder_trials(runs: dict[str, Path], model: Path) -> None:
    """Adds to a model's `decoder-trials.json` all held-out figures of runs that went on from its decoder, means over operating points.

    Steps and seconds are counted from where the model's own log ends. A trial of the same name is replaced.
    """
    start, start_s = last_step(model / DECODER_LOG_NAME)
    trials = []
    for name, run in runs.items():
        for row in _held_out(run):
            if row["step"] > start:
                means = {key: round(fmean(row[key]), 5) for key in ("psnr_db", "lpips_alex", "lpips_vgg")}
                trials.append({"trial": name, "steps": row["step"] - start, "seconds": round(row["elapsed_s"] - start_s), **means})
    _add(trials, model / "decoder-trials.json")


def _held_out(run: Path) -> list[dict[str, Any]]:
    rows = [row for row in read_metrics(run / METRICS_NAME) if row["kind"] == "validation"]
    if not rows:
        raise click.ClickException(f"{run}: no held-out figures")
    return rows


def _add(trials: list[dict[str, Any]], target: Path) -> None:
    names = {row["trial"] for row in trials}
    earlier = read_json(target)["trials"] if target.exists() else []
    kept = [row for row in earlier if row["trial"] not in names]
    target.write_text(json.dumps({"trials": kept + trials}, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")
