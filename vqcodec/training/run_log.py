"""The log of a training run: a JSON object a line, of kind "step" or "validation", with the step and the seconds of training until then."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from vqcodec.errors import ModelError
from vqcodec.format.container import map_name

METRICS_NAME: Final = "metrics.jsonl"
"""Name of the log in the folder of a run."""
LOG_NAME: Final = "training.jsonl"
"""Name of an autoencoder's log in a model folder."""
DECODER_LOG_NAME: Final = "decoder-training.jsonl"
"""Name of a perceptual decoder's log in a model folder."""


def prior_file_name(number: int, name: str) -> str:
    """Returns the name that a file of a prior's training has in a model folder: that of an autoencoder's, after the name of the map."""
    return f"{map_name(number)}-{name}"


def append_metrics(log: TextIO, kind: Literal["step", "validation"], metrics: Any) -> None:
    """Appends the figures of a dataclass to a log, rounded to five decimals, as one line."""
    rounded = json.loads(json.dumps(asdict(metrics)), parse_float=lambda text: round(float(text), 5))
    log.write(json.dumps({"kind": kind, **rounded}) + "\n")
    log.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's log up to the first that a kill cut short; none where there is no log."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def last_step(log: Path) -> tuple[int, float]:
    """Returns step and elapsed seconds of the last line of a model folder's log.

    Raises:
        ModelError: There is no log, or no line in it.
    """
    rows = read_metrics(log)
    if not rows:
        raise ModelError(f"{log.parent}: holds no {log.name}, which says how long the model was trained")
    return rows[-1]["step"], rows[-1]["elapsed_s"]


def log_lines(rows: list[dict[str, Any]]) -> bytes:
    """Returns the content of a log, one row a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
