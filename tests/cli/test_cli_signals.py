"""Checks that Ctrl-C and SIGTERM end commands without a traceback and with the exit codes that shells know."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import run, save_pictures
from vqcodec.cli import batches
from vqcodec.cli.jobs import Job
from vqcodec.cli.results import FileResult
from vqcodec.nn.runtime import RUNTIME_VARIABLE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["click.core", "vqcodec.cli.encode", "numpy.linalg", "torch._tensor", "torch.nn.functional"])
def test_an_interrupt_during_imports_has_no_traceback(picture: Path, small_model: str, module: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vqcodec", "encode", str(picture), "-m", small_model]
    environment = {**os.environ, RUNTIME_VARIABLE: "torch"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.split("|")[-1].strip() == module:
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail(f"{module} was not imported")
        told = [line for line in process.stderr if not line.startswith("import time:")]
    assert process.returncode in (130, -signal.SIGINT)
    assert all(line.startswith("vqcodec: stopped: 0 of 1 files converted") for line in told[:-1])
    assert told[-1:] in ([], ["vqcodec: interrupted\n"]) and not picture.with_suffix(".vq").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_done_is_told(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
    source = save_pictures(tmp_path / "in", 3, 30, 20)
    convert, ended = batches._convert_together, []

    def interrupted(files: Sequence[tuple[Job, object]], *args: object) -> Iterator[FileResult]:
        if files[0][0].source.name == "2.png":
            while len(ended) < 2:
                time.sleep(0.001)
            os.kill(os.getpid(), number)
            while True:
                time.sleep(0.001)
        yield from convert(files, *args)  # type: ignore[arg-type]
        ended.append(files)

    monkeypatch.setattr(batches, "_convert_together", interrupted)
    result = run("encode", source, "-o", tmp_path / "out", "-m", small_model, "-q", 1, "--no-layers", "--batch-size", 1)
    assert result.exit_code == code and sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.vq", "1.vq"]
    if number == signal.SIGINT:
        *_, told, last = result.stderr.splitlines()
        assert told.startswith("vqcodec: stopped: 2 of 3 files converted; ") and last == "vqcodec: interrupted"


def test_ctrl_c_twice_lets_what_is_half_done_be_removed(picture: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = picture.with_name("removed")

    def pressed(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            removed.touch()

    monkeypatch.setattr(batches, "_convert_batch", pressed)
    result = run("encode", picture, "-m", small_model)
    assert result.exit_code == 130 and result.stderr.splitlines()[-1] == "vqcodec: interrupted" and removed.exists()
