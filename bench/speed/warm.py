"""Seconds of the functions that encode and decode, in processes that have loaded the model."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.images import ROOT
from bench.processes import measure_process
from bench.speed.start import checkout_environment

ROUNDS: Final = 3
"""Processes that a median is taken of."""
MOST_PHOTOS: Final = 6
"""Photos that are measured of a folder, at equal distances."""
QUALITIES: Final = (50, 100)

_ROUND_TRIPS: Final = """
import json, sys, time
from PIL import Image
import vqcodec
qualities, paths = json.loads(sys.argv[1]), sys.argv[2:]
codec = vqcodec.open_model(device="cpu")
photos = [Image.open(path).convert("RGB") for path in paths]
seconds = []
for quality in qualities:
    codec.decode(codec.encode(photos[0], quality=quality))
    started = time.perf_counter()
    files = [codec.encode(photo, quality=quality) for photo in photos]
    encoded = time.perf_counter()
    for file in files:
        codec.decode(file)
    seconds += [(encoded - started) / len(photos), (time.perf_counter() - encoded) / len(photos)]
print(json.dumps(seconds))
"""


def measure_warm(photos: Path, other: Path | None) -> list[dict[str, Any]]:
    """Measures seconds a photo to encode and to decode at each quality, medians of `ROUNDS` processes.

    Args:
        photos: folder of the photos; at most `MOST_PHOTOS` of them are measured.
        other: another checkout to measure in turns; None for none.
    """
    paths = sorted(path for path in photos.iterdir() if path.is_file())
    chosen = paths[:: -(-len(paths) // MOST_PHOTOS)]
    command = [sys.executable, "-c", _ROUND_TRIPS, json.dumps(QUALITIES), *map(str, chosen)]
    checkouts = [ROOT] if other is None else [ROOT, other]
    rounds = [
        [json.loads(measure_process(command, checkout_environment(checkout)).printed) for checkout in checkouts] for _ in range(ROUNDS)
    ]
    own, *others = np.median(rounds, axis=0)
    rows: list[dict[str, Any]] = []
    for number, (quality, verb) in enumerate((quality, verb) for quality in QUALITIES for verb in ("encode", "decode")):
        rows.append({"verb": verb, "quality": quality, "seconds": float(own[number])})
        rows[-1] |= {"other_seconds": float(others[0][number])} if others else {}
    return rows
