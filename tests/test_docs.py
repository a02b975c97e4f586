"""The code of the documents runs, every table in the documents is what the result files say, and these are of the shipped model."""

import gc
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from bench.figures import TABLES, documents, filled
from bench.images import RESULTS, ROOT
from bench.rd import STUDIES, current_rows, read_published, read_runs
from tests.command_lines import check_command_line, check_names
from vqcodec.compare.ours import Vqcodec
from vqcodec.compare.plots import write_plots
from vqcodec.compare.selection import CODECS, codec_named
from vqcodec.models.registry import DEFAULT_MODEL, find_model

EXTRAS = {"ray", "webdataset", "zarr"}
"""Packages without which code of the documents is skipped."""
MARKS = {
    "ray": [pytest.mark.slow, pytest.mark.filterwarnings("ignore")],  # it has warnings of its own
    "webdataset": [pytest.mark.filterwarnings("ignore:.*FileIO:pytest.PytestUnraisableExceptionWarning")],  # it leaves a file to be closed
}
"""Marks of code that imports a package."""
CODE = re.compile(r"`([^`\n]+)`|^ {4}(.*)$", re.MULTILINE)
"""Code between backticks, or in indented lines."""
BLOCKS = [
    pytest.param(
        block, id=f"{path.name}-{number}", marks=[mark for name, marks in MARKS.items() if f"import {name}\n" in block for mark in marks]
    )
    for path in documents()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL))
]


@contextmanager
def ray_of_two_cpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


@pytest.mark.parametrize("block", BLOCKS)
def test_python_of_documents_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in set(re.findall(r"^import (\w+)", block, re.MULTILINE)) & EXTRAS:
        pytest.importorskip(package, reason=f"{package} (an extra) is not installed")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.chelsea()).save("photo.jpg")
    Path("holiday").mkdir()
    Image.fromarray(skimage.data.chelsea()).resize((96, 64)).save("holiday/1.jpg")
    with ray_of_two_cpus(monkeypatch) if "import ray\n" in block else nullcontext():
        exec(compile(block, "document", "exec"), {})
    gc.collect()  # so that a file that was left open is told here, and not in another test


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_of_documents_are_understood(path: Path) -> None:
    """Of what stands between backticks, whose values are often left out, the names of commands and options are checked."""
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"^ {4}((?:vqcodec|python -m bench)(?: .*)?)$", text.replace("\\\n", " "), re.MULTILINE)
    for words in (shlex.split(line, comments=True) for line in lines):
        if "[OPTIONS]" not in words:
            check_command_line(words)
    for piece in re.findall(r"`((?:vqcodec|python -m bench) [^`]+)`", text.replace("\n", " ")):
        check_names(shlex.split(piece))


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_extras_and_targets_of_make_in_documents_are_there(path: Path) -> None:
    code = "\n".join(filter(None, (part for spans in CODE.findall(path.read_text(encoding="utf-8")) for part in spans)))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert {name for names in re.findall(r"'\.\[([\w,]+)\]'", code) for name in names.split(",")} <= extras.keys()
    assert {name for line in re.findall(r"^make ([a-z -]+)$", code, re.MULTILINE) for name in line.split()} <= {*targets}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_are_those_of_the_result_files(path: Path) -> None:
    assert filled(path) == path.read_text(encoding="utf-8"), "run: python -m bench figures"


def test_every_table_is_shown() -> None:
    shown = {name for path in documents() for name in re.findall(r"<!-- figures:([\w-]+) -->\n", path.read_text(encoding="utf-8"))}
    assert shown == set(TABLES)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_link_to_is_there(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert not [target for target in targets if not target.startswith("http") and not (path.parent / target).exists()]


def test_plots_are_those_of_the_rows(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib (extra `bench`) is not installed")
    committed = sorted((RESULTS / "plots").glob("*.svg"))
    if f"Matplotlib v{matplotlib.__version__}," not in committed[0].read_text(encoding="utf-8"):
        pytest.skip(f"the committed plots were drawn by another matplotlib than {matplotlib.__version__}")
    write_plots(tmp_path, current_rows("kodak"), read_published())
    assert [path.name for path in committed] == sorted(path.name for path in tmp_path.glob("*.svg"))
    for path in committed:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), "run: python -m bench report"


def _of_model(version: str) -> list[str]:
    """Returns what a version tells of the model, without the digest of the trial, which may differ from machine to machine."""
    return [part for part in version.split(", ")[2:] if not part.startswith("trial ")]


@pytest.mark.parametrize("codec", [codec for codec in (*CODECS, *STUDIES) if isinstance(codec, Vqcodec)], ids=lambda codec: codec.name)
def test_rows_are_of_the_shipped_model(codec: Vqcodec) -> None:
    semantics = json.loads((RESULTS / "semantics-val.json").read_text(encoding="utf-8"))["runs"]
    versions = [runs[codec.name]["version"] for runs in (read_runs("kodak"), semantics) if codec.name in runs]
    shipped = _of_model(codec.model_version())
    assert shipped and all(_of_model(version) == shipped for version in versions), "run: python -m bench rd, or semantics"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*-photo-v*.json")), ids=lambda path: path.stem)
def test_results_are_of_the_shipped_model(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert "weights_sha256" in result
    config = find_model(path.stem[path.stem.index("photo-v") :])
    for key in ("weights_sha256", "perceptual_sha256"):
        assert result.get(key, getattr(config, key)) == getattr(config, key), f"measure {path.stem} anew"
    for row in result.get("codecs", []):
        if isinstance(codec := codec_named(row["codec"]), Vqcodec):
            version = replace(codec, model_id=config.id).model_version()
            assert _of_model(row["version"]) == _of_model(version), f"measure {path.stem} anew"


def test_model_card_tells_the_digests_of_the_weights() -> None:
    config = find_model(DEFAULT_MODEL)
    card = (config.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert {config.weights_sha256, config.perceptual_sha256} <= set(re.findall(r"`([0-9a-f]{64})`", card))
