"""Seconds of bulk encoding by Ray Data beside those of `vqcodec encode --jobs`, in one run."""

import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click

import vqcodec
from bench.images import RESULTS, read_json, write_result
from bench.photos import write_photos
from bench.processes import measure_process
from bench.tables import table
from vqcodec.compare.machine import cpu_name
from vqcodec.models.registry import DEFAULT_MODEL, find_model
from vqcodec.nn.kernels import library

SIZE_PX: Final = 256
CPUS: Final = 2


def run_ray(model_id: str, count: int) -> None:
    """Encodes pieces of photos that ship in wheels in both ways, and checks that the files are equal.

    Writes bench/results/ray-MODEL.json.
    """
    config = find_model(model_id)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "photos", count, SIZE_PX)
        own = _by_command(folder, model_id)
        started = _by_ray(folder, model_id)
        for source in sorted((folder / "photos").rglob("*.png")):
            below = source.relative_to(folder / "photos")
            one = (folder / "own" / below).with_suffix(".vq").read_bytes()
            if one != (folder / "ray" / f"{below}.vq").read_bytes():
                raise click.ClickException(f"{below}: Ray and the command line wrote other bytes")
    rows = [{"by": f"vqcodec encode --jobs {CPUS}", **own}, {"by": f"Ray Data, {CPUS} CPUs", **started}]
    for row in rows:
        click.echo(f"{row['by']}: {row['seconds']} s, {row['cpu_seconds']} CPU seconds, {count} pictures")
    about = {"cpu": cpu_name(), "compiled_kernels": library() is not None, "vqcodec": vqcodec.__version__}
    write_result("ray", config, "ray", {**about, "pictures": count, "side_px": SIZE_PX, "cpus": CPUS, "rows": rows})


def _by_command(folder: Path, model_id: str) -> dict[str, Any]:
    options = ["-m", model_id, "-r", "--jobs", str(CPUS), "--quiet", "--batch-size", "16"]
    command = ["vqcodec", "encode", str(folder / "photos"), "-o", f"{folder / 'own'}/", *options]
    run = measure_process([sys.executable, "-m", *command])
    return {"seconds": round(run.seconds, 1), "cpu_seconds": round(run.cpu_seconds, 1)}


def _by_ray(folder: Path, model_id: str) -> dict[str, Any]:
    """Measures a pipeline from the folder to .vq files; the start of Ray itself is told apart."""
    import ray

    import vqcodec.ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    beginning = time.perf_counter()
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        started, before = time.perf_counter(), _cpu_seconds_of_descendants()
        pictures = ray.data.read_binary_files(str(folder / "photos"), include_paths=True)
        encoded = vqcodec.ray.encode(pictures, model=model_id, actors=CPUS)
        vqcodec.ray.write_files(encoded, folder / "ray", root=str(folder / "photos")).materialize()
        seconds, cpu = time.perf_counter() - started, _cpu_seconds_of_descendants() - before
    finally:
        ray.shutdown()
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "start_s": round(started - beginning, 1)}


def _cpu_seconds_of_descendants() -> float:
    """Returns the CPU seconds of this process and of all that it started, also of those that ended."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return sum(ticks[pid] for pid in own) / os.sysconf("SC_CLK_TCK")


def ray_table() -> str:
    """Returns CPU seconds of both ways; seconds depend on what else the machine does."""
    result = read_json(RESULTS / f"ray-{DEFAULT_MODEL}.json")
    count = result["pictures"]
    rows = [[row["by"], f"{row['cpu_seconds']:.0f} s", f"{count / row['cpu_seconds']:.1f}"] for row in result["rows"]]
    return table([f"{count} pictures of {result['side_px']}x{result['side_px']}", "CPU seconds", "pictures a CPU second"], rows)
