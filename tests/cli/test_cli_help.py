"""Checks that help ends with examples that can be run, and what shells complete."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.conftest import run
from tests.cli.test_cli_docs import COMMANDS
from tests.command_lines import check_command_line
from vqcodec.models.registry import DEFAULT_MODEL


@pytest.mark.parametrize("path", [("vqcodec",), ("vqcodec", "train"), *COMMANDS], ids=" ".join)
def test_examples_of_help_are_of_the_command_and_are_understood(path: tuple[str, ...]) -> None:
    text = run(*path[1:], "--help").stdout
    lines = text.partition("\n  Examples:\n")[2].splitlines()
    assert 1 <= len(lines) <= 4
    for line in lines:
        words = shlex.split(line)
        assert line.startswith("    vqcodec") and words[: len(path)] == list(path)
        check_command_line(words)


@pytest.mark.parametrize(
    "line",
    [
        "vqcodec encod photo.jpg",
        "vqcodec encode photo.jpg --qality 3",
        "vqcodec encode photo.jpg --quality 101",
        "vqcodec encode",
        "vqcodec inspect photo.vq",
        "vqcodec compare a.png b.png c.png",
        "vqcodec train",
    ],
)
def test_check_of_examples_finds_mistakes(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_command_line(shlex.split(line))


COMPLETE = """
import os, sys
from vqcodec.cli import main
try:
    main(prog_name="vqcodec")
finally:
    print(*sorted(sys.modules.keys() & {"PIL", "numpy", "torch"}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vqcodec in", {"plain,info", "plain,inspect"}),
        ("vqcodec train de", {"plain,decoder"}),
        ("vqcodec encode --t", {"plain,--target-bpp", "plain,--tune", "plain,--tone-map"}),
        ("vqcodec encode --tune p", {"plain,psnr", "plain,perceptual"}),
        ("vqcodec encode pho", {"file,pho"}),
        ("vqcodec decode photo.vq -o pho", {"file,pho"}),
        ("vqcodec encode -m photo-", {f"plain,{DEFAULT_MODEL}"}),
        ("vqcodec encode -m my-models/", {"dir,my-models/"}),
    ],
)
def test_shells_complete_without_torch(line: str, expected: set[str]) -> None:
    variables = {"_VQCODEC_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run([sys.executable, "-c", COMPLETE], env=variables, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected
    assert not done.stderr.strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_by_the_line_that_the_document_tells(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    told = re.findall(r"^    (eval .*_VQCODEC_COMPLETE=bash_source.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(told) == 1
    script = f'{told[0]}\nCOMP_WORDS=(vqcodec enc); COMP_CWORD=1; _vqcodec_completion vqcodec; echo "${{COMPREPLY[@]}}"'
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(["bash", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["encode"]
