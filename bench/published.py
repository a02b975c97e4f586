"""Published curves on Kodak, copied from tables into bench/results/published-kodak.json with their sources."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.images import RESULTS, read_json
from vqcodec.compare.rows import Point, Published

TARGET: Final = RESULTS / "published-kodak.json"
COMPRESSAI: Final = {
    "bpg_444_x265_ycbcr.json": "BPG 4:4:4",
    "vtm.json": "VTM",
    "compressai-bmshj2018-hyperprior_mse_cpu.json": "bmshj2018-hyperprior",
    "compressai-mbt2018_mse_cpu.json": "mbt2018",
    "compressai-cheng2020-attn_mse_cpu.json": "cheng2020-attn",
    "paper-elic2022_mse.json": "ELIC",
}
COMPRESSAI_SOURCE: Final = "results folder of CompressAI, commit 869a9f5"
CRDR_SOURCE: Final = "rd_results of CRDR (Iwai, Miyazaki, Omachi 2024), commit 6eeec5d"
CONTROL_GIC_SOURCE: Final = "README of Control-GIC (Li et al. 2024), which does not name the backbone of its LPIPS"


def copy_published(tables: Path) -> None:
    """Copies the curves from a folder with `kodak_rd_compressai.csv` and `crdr_kodak.csv`."""
    with (tables / "kodak_rd_compressai.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    curves = []
    for name, title in COMPRESSAI.items():
        points = [
            Point("", float(row["bpp"]), psnr_db=float(row["psnr_rgb"]), ms_ssim=_number(row["ms_ssim_rgb"]))
            for row in rows
            if row["file"] == name and row["source"] == "compressai_raw"
        ]
        curves.append(Published(title, COMPRESSAI_SOURCE, sorted(points, key=lambda point: point.bpp)))
    with (tables / "crdr_kodak.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for beta in ("0.0", "3.84"):
        points = [
            Point(f"quality {row['quality']}", float(row["bpp"]), psnr_db=float(row["PSNR"]), lpips_alex=float(row["LPIPS"]))
            for row in rows
            if row["beta"] == beta
        ]
        curves.append(Published(f"CRDR, realism {float(beta):g}", CRDR_SOURCE, sorted(points, key=lambda point: point.bpp)))
    curves.append(Published("Control-GIC, backbone not stated", CONTROL_GIC_SOURCE, [Point("", 0.389, lpips_alex=0.0303)]))
    TARGET.write_text(json.dumps([_without_none(asdict(curve)) for curve in curves], indent=1) + "\n", encoding="utf-8")


def read_published() -> list[Published]:
    """The curves that were copied."""
    curves = read_json(TARGET)
    return [Published(curve["name"], curve["source"], [Point(**point) for point in curve["points"]]) for curve in curves]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
