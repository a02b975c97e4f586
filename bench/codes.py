"""Bits a code of each map: packed in 9 bits, static, by the prior (real numbers, fixed point), and in the payloads of real files."""

import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import vqcodec
from bench.images import opened_set, write_result
from vqcodec.cli.progress import progress
from vqcodec.coding.coders import encode_static
from vqcodec.coding.frequencies import TOTAL, cross_entropy_bits
from vqcodec.coding.prior import score_map
from vqcodec.coding.tiles import cut_maps
from vqcodec.decoding.files import decode_file, open_file
from vqcodec.decoding.painting import paint
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.format.container import map_name
from vqcodec.images.metrics import psnr_db
from vqcodec.images.picture import read_picture
from vqcodec.models.dial import DEFAULT_QUALITY, OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.rate.options import LayerOptions
from vqcodec.training.prior import bits_per_code


def run_codes(set_name: str, model_id: str) -> None:
    """Encodes every photo with all maps, by nearest codes and by the default quality's lambda; writes bench/results/codes-MODEL.json."""
    model = load_model(model_id)
    runs = []
    for rate_weight in dict.fromkeys((0.0, model.config.dial("iq").at(DEFAULT_QUALITY).rate_weight)):
        rows: list[dict[str, Any]] = []
        totals: list[dict[str, Any]] = []
        with opened_set(set_name) as images, progress(len(images), "photos") as bar:
            for path in images:
                photo_rows, total = _measure(path, model, rate_weight)
                rows += photo_rows
                totals.append(total)
                bar.update(detail=f"lambda {rate_weight}")
        runs.append({"rate_weight": rate_weight, "maps": _by_map(rows), "files": totals})
    versions = {"vqcodec": vqcodec.__version__, "torch": torch.__version__, "python": platform.python_version()}
    write_result("codes", model.config, set_name, {"versions": versions, "runs": runs})


def _measure(path: Path, model: Model, rate_weight: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Returns rows of one photo's maps, in bits, and the figures of its files."""
    picture = read_picture(path)
    points = [OperatingPoint(count, rate_weight) for count in (model.config.num_maps, 2)]
    options = LayerOptions(layers=False)  # what codes alone take
    encoded, smaller = (encode_pictures([picture], model, point=point, options=options)[0] for point in points)
    (painted,) = paint([decode_file(smaller.data)])
    maps = open_file(encoded.data).maps
    rows = []
    for number, (indices, coded, freqs) in enumerate(zip(encoded.indices, maps, model.static_freqs, strict=True)):
        row: dict[str, Any] = {
            "map": map_name(number),
            "codes": indices.size,
            "coder": coded.entry.coder.name.lower(),
            "payload_bits": 8 * len(coded.payload),
            "raw_bits": indices.size * math.ceil(math.log2(len(freqs))),
            "static_bits": 8 * len(encode_static(indices.reshape(-1), freqs)),
            "static_entropy_bits": cross_entropy_bits(indices, freqs),
            "counts": np.bincount(indices.reshape(-1), minlength=len(freqs)),
        }
        if number < len(model.priors):
            row |= _prior_bits(model.priors[number], encoded.indices[: number + 1])
        rows.append(row)
    entropy_bytes = [min(row.get("prior_bits", math.inf), row["static_entropy_bits"]) / 8 for row in rows]
    total = {
        "photo": path.stem,
        "all_maps_bytes": len(encoded.data),
        "all_maps_header_bytes": len(encoded.data) - sum(len(coded.payload) for coded in maps),
        "all_maps_cross_entropy_bytes": round(sum(entropy_bytes), 1),
        "top_bottom_bytes": len(smaller.data),
        "top_bottom_header_bytes": len(smaller.data) - sum(len(coded.payload) for coded in open_file(smaller.data).maps),
        "top_bottom_cross_entropy_bytes": round(sum(entropy_bytes[:2]), 1),
        "top_bottom_raw_bytes": sum(row["raw_bits"] for row in rows[:2]) // 8,
        "top_bottom_static_bytes": sum(row["static_bits"] for row in rows[:2]) // 8,
        "top_bottom_psnr_db": round(psnr_db(picture.rgb, painted.rgb), 4),
    }
    return rows, total


def _prior_bits(prior: PixelSnail, maps: list[NDArray[np.int64]]) -> dict[str, float]:
    """Returns the cross-entropy in bits of the last map, of the frequencies that coded it and of the same network in real numbers."""
    scored = score_map(prior, maps)
    fixed = 0.0
    for codes, freqs in scored:
        fixed -= float(np.log2(freqs[np.arange(len(codes)), codes] / TOTAL).sum())
    real = 0.0
    for tile in cut_maps(maps, len(scored)):
        *earlier, indices = (torch.from_numpy(np.ascontiguousarray(of_map))[None] for of_map in tile)
        with torch.inference_mode():
            real += float(bits_per_code(prior(indices, earlier, Arithmetic.REAL), indices)) * indices.numel()
    return {"prior_bits": fixed, "prior_real_bits": real}


def _by_map(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns bits a code and use of the codebook over all photos, one row a map."""
    summary = []
    for name in dict.fromkeys(row["map"] for row in rows):
        of_map = [row for row in rows if row["map"] == name]
        codes = sum(row["codes"] for row in of_map)
        bits = {key.removesuffix("_bits"): round(sum(row[key] for row in of_map) / codes, 4) for key in of_map[0] if key.endswith("_bits")}
        coders = {coder: sum(row["coder"] == coder for row in of_map) for coder in sorted({row["coder"] for row in of_map})}
        counts = sum(row["counts"] for row in of_map)
        pmf = counts[counts > 0] / codes
        usage = {"used": int((counts > 0).sum()), "perplexity": round(float(np.exp(-(pmf * np.log(pmf)).sum())), 1)}
        summary.append({"map": name, "codes": codes, **usage, "coders": coders, "bits_per_code": bits})
    return summary
