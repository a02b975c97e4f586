"""What training reads, and bulk encoding by Ray, are measured."""

import json
import sys
from pathlib import Path

import pytest

from bench import datasets, images, ray


@pytest.mark.slow
def test_every_way_to_read_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: str) -> None:
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    monkeypatch.setattr(datasets, "SIZE_PX", 32)
    datasets.run_datasets(small_model, 128)
    (target,) = tmp_path.iterdir()
    rows = json.loads(target.read_text(encoding="utf-8"))["rows"]
    assert [row["source"].split(",")[0] for row in rows] == ["painted", "all maps", "first map", "all maps", "PNG", "JPEG of quality 90"]
    assert all(row["per_cpu_second"] > 0 and row["per_second"] > 0 and row["bytes"] > 0 for row in rows)
    assert rows[0]["per_cpu_second"] < rows[3]["per_cpu_second"]


def test_cpu_seconds_of_ended_processes_count() -> None:
    from bench.processes import measure_process

    before = ray._cpu_seconds_of_descendants()
    measure_process([sys.executable, "-c", "sum(i * i for i in range(3_000_000))"])
    assert ray._cpu_seconds_of_descendants() > before
