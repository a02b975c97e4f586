"""A second run of a model's recipe against its committed log: is the model reproducible from the repository?"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.images import MODELS, RESULTS
from vqcodec.training.loop import read_metrics


def _steps(log: Path) -> dict[int, dict[str, Any]]:
    rows = read_metrics(log)
    return {row["step"]: row for row in rows if row["kind"] == "step"}


def compare_logs(run: Path, model_id: str) -> None:
    """Compares training PSNR, window by window of the log, and writes bench/results/reproduction-MODEL.json."""
    committed, again = _steps(MODELS / model_id / "training.jsonl"), _steps(run / "metrics.jsonl")
    rows = [
        {"step": step, "committed_psnr_db": committed[step]["psnr_db"], "again_psnr_db": again[step]["psnr_db"]}
        for step in sorted(set(committed) & set(again))
    ]
    if not rows:
        raise click.ClickException(f"{run}: no step in common with the log of {model_id}")
    differences = np.array([row["again_psnr_db"] - row["committed_psnr_db"] for row in rows])
    result = {
        "model": model_id,
        "steps": rows[-1]["step"],
        "of_steps": max(committed),
        "mean_difference_db": round(float(differences.mean()), 4),
        "largest_difference_db": round(float(np.abs(differences).max()), 4),
        "windows": rows,
    }
    target = RESULTS / f"reproduction-{model_id}.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(f"{len(rows)} windows: mean difference {result['mean_difference_db']} dB, largest {result['largest_difference_db']} dB")
