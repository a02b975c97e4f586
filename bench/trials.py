"""What variants of a prior reach in short runs of equal length, gathered from the runs' logs."""

import json
from pathlib import Path
from typing import Any

import click

from vqcodec.training.loop import METRICS_NAME, read_metrics


def gather_trials(runs: dict[str, Path], target: Path) -> None:
    """Adds to `target`, a JSON file, the held-out bits a code at the end of each run; a trial of the same name is replaced."""
    trials: dict[str, dict[str, Any]] = {}
    if target.exists():
        trials = {row["trial"]: row for row in json.loads(target.read_text(encoding="utf-8"))["trials"]}
    for name, run in runs.items():
        held_out = [row for row in read_metrics(run / METRICS_NAME) if row["kind"] == "validation"]
        if not held_out:
            raise click.ClickException(f"{run}: no held-out figures")
        last = held_out[-1]
        trials[name] = {
            "trial": name,
            "steps": last["step"],
            "seconds": round(last["elapsed_s"]),
            "bits_per_code": last["bits_per_code_fixed"],
        }
    target.write_text(json.dumps({"trials": list(trials.values())}, indent=1) + "\n", encoding="utf-8")
    click.echo(f"written to {target}")
