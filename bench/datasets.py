"""Pictures a second that training reads: codes from shards, painted pictures, and JPEG and PNG of the same pictures, by two workers."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import vqcodec
from bench.images import RESULTS, read_json, write_result
from bench.photos import write_photos
from bench.tables import table
from vqcodec.codec.loaded import Codec, open_model
from vqcodec.compare.machine import cpu_name
from vqcodec.datasets import CodeMaps
from vqcodec.datasets.packing import FileToPack, pack
from vqcodec.format.container import CoderKind
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.kernels import library

SIZE_PX: Final = 256
BATCH: Final = 16
WORKERS: Final = 2
JPEG_QUALITY: Final = 90


class _Pictures(Dataset[torch.Tensor]):
    """Picture files, decoded by Pillow to uint8 [3, H, W]."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def run_datasets(model_id: str, count: int) -> None:
    """Measures on pieces of photos that ship in wheels; writes bench/results/datasets-MODEL.json."""
    codec = open_model(model_id, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        sources = _write_sources(Path(name), codec, count)
        rows = []
        for source, (dataset, num_bytes) in sources.items():
            row = {key: round(value, 1) for key, value in _measure(dataset).items()}
            rows.append({"source": source, "bytes": round(num_bytes / count), **row})
            click.echo(
                f"{source}: {row['per_cpu_second']:.1f} pictures a CPU second, {row['per_second']:.1f} a second by {WORKERS} workers"
            )
    about = {"cpu": cpu_name(), "compiled_kernels": library() is not None, "vqcodec": vqcodec.__version__, "torch": torch.__version__}
    shape = {"pictures": count, "side_px": SIZE_PX, "workers": WORKERS, "batch_size": BATCH}
    write_result("datasets", codec.model.config, "datasets", {**about, **shape, "rows": rows})


def _write_sources(folder: Path, codec: Codec, count: int) -> dict[str, tuple[Dataset[Any], int]]:
    """Writes the same pictures in every form, and returns the data sets that read them, with their bytes."""
    write_photos(folder / "png", count, SIZE_PX)
    pngs = sorted((folder / "png").rglob("*.png"))
    jpegs, codes = [], []
    for number, (path, data) in enumerate(zip(pngs, _encoded(codec, pngs), strict=True)):
        jpegs.append(folder / f"{number}.jpg")
        with Image.open(path) as image:
            image.save(jpegs[-1], quality=JPEG_QUALITY)
        target = folder / f"{number}.vq"
        target.write_bytes(data)
        codes.append(FileToPack(target, target.name))
    shards = [
        [shard.path for shard in pack(codes, folder / f"{name}-{{00..}}.tar", shard_bytes=_half(codes), coder=coder)]
        for name, coder in (("prior", None), ("static", CoderKind.STATIC))
    ]
    prior, static = (sum(path.stat().st_size for path in paths) for paths in shards)
    return {
        "painted, from codes under priors": (CodeMaps(shards[0], pixels=True, batch_size=BATCH), prior),
        "all maps, under priors": (CodeMaps(shards[0], batch_size=BATCH), prior),
        "first map, under priors": (CodeMaps(shards[0], maps=1, batch_size=BATCH), prior),
        "all maps, static": (CodeMaps(shards[1], batch_size=BATCH), static),
        "PNG": (_Pictures(pngs), sum(path.stat().st_size for path in pngs)),
        f"JPEG of quality {JPEG_QUALITY}": (_Pictures(jpegs), sum(path.stat().st_size for path in jpegs)),
    }


def _encoded(codec: Codec, paths: Sequence[Path]) -> Iterator[bytes]:
    for start in range(0, len(paths), BATCH):
        yield from codec.encode_batch(paths[start : start + BATCH], layers=False, batch_size=BATCH)


def _half(files: Sequence[FileToPack]) -> int:
    """Returns bytes of a shard by which there are some shards for each worker."""
    return sum(file.path.stat().st_size for file in files) // 4 + (1 << 15)


def _measure(dataset: Dataset[Any]) -> dict[str, float]:
    """Returns how many pictures workers read in a second, and in a second of their CPU time, after their first batches."""
    reports = list(DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, collate_fn=_report))
    by_worker = {worker: [report for report in reports if report[0] == worker] for worker, *_ in reports}
    pictures = sum(report[1] for of_worker in by_worker.values() for report in of_worker[1:])
    cpu = sum(of_worker[-1][2] - of_worker[0][2] for of_worker in by_worker.values())
    wall = sum((of_worker[-1][3] - of_worker[0][3]) / len(by_worker) for of_worker in by_worker.values())
    return {"per_cpu_second": pictures / cpu, "per_second": pictures / wall}


def _report(batch: list[Any]) -> tuple[int, int, float, float]:
    """Returns the worker, the number of its pictures, and its CPU seconds and seconds so far."""
    return os.getpid(), len(batch), time.process_time(), time.perf_counter()


def datasets_table() -> str:
    """Returns pictures a second by what is read."""
    result = read_json(RESULTS / f"datasets-{DEFAULT_MODEL}.json")
    rows = result["rows"]
    painted = rows[0]["per_cpu_second"]
    cells = [
        [row["source"], f"{row['bytes']:,}", f"{row['per_cpu_second']:,.0f}", f"{row['per_cpu_second'] / painted:,.1f}"] for row in rows
    ]
    return table(["what is read", "bytes a picture", "pictures a CPU second", "times painting"], cells)
