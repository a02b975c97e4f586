"""Checks recipes/train.sh, with stand-ins for the commands that it calls: each must be one that vqcodec understands."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from vqcodec.cli import main
from vqcodec.training.recipe import PriorRecipe

SCRIPT = Path(__file__).parents[2] / "recipes/train.sh"
STAND_IN = """#!/bin/bash
printf '%q ' "$(basename "$0")" "$@" >> "$LOG"; echo >> "$LOG"
[ "$2" != "$FAIL" ] || exit 1
while [ $# -gt 0 ]; do
    [ "$1" != --out ] || { mkdir -p "$2"; touch "$2/checkpoint.pt"; }
    shift
done
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def run_script(work: Path, **variables: str) -> tuple[int, list[list[str]]]:
    """Runs the script with stand-ins, and returns its exit code and the commands that it called."""
    for name in ("vqcodec", "python"):
        (work / "bin").mkdir(exist_ok=True)
        (work / "bin" / name).write_text(STAND_IN)
        (work / "bin" / name).chmod(0o755)
    log = work / "log"
    log.write_text("")
    path = f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "LOG": str(log), "FAIL": "", "MINUTES": "10", **variables}
    done = subprocess.run(
        check=False, args=["bash", SCRIPT, "photos", "held out", work / "out"], env=variables, capture_output=True, timeout=60
    )
    return done.returncode, [shlex.split(line) for line in log.read_text().splitlines()]


def parsed(arguments: list[str]) -> dict[str, object]:
    """Parses a command line of vqcodec without running it."""
    command: click.Command = main
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    options, *_ = command.make_parser(click.Context(command)).parse_args(arguments)
    assert all(param.name in options for param in command.params if param.required and isinstance(param, click.Option))
    return options


def order_of(commands: list[list[str]], model: str) -> list[str]:
    """Returns the names of the commands that change a model, in their order."""
    changing = ("export", "ranges", "dial")
    return [command[2] for command in commands if command[2] in changing and any(part.endswith(f"/models/{model}") for part in command)]


def test_each_command_is_understood_and_the_minutes_are_shared_out(tmp_path: Path) -> None:
    code, commands = run_script(tmp_path)
    assert code == 0
    options = [parsed(arguments) for program, *arguments in commands if program == "vqcodec"]
    minutes = [float(str(values["minutes"])) for values in options if values.get("minutes")]
    assert len(minutes) == 11 and sum(minutes) == pytest.approx(10)
    configs = [Path(str(values["config"])) for values in options if values.get("config")]
    assert all(config.is_file() for config in configs)
    for number in range(4):
        draft, last = (PriorRecipe.read(tmp_path / "out" / f"prior-{number}-{name}.toml") for name in ("draft", "last"))
        assert draft.network.earlier_maps == last.network.earlier_maps == number and last.lr_muon < draft.lr_muon
    assert commands[-1][:4] == ["python", "-m", "bench", "model"]
    assert order_of(commands, "mine")[-5:] == ["export", "ranges", "dial", "export", "dial"], "dials are measured with the ranges"


def test_a_script_that_was_cut_goes_on(tmp_path: Path) -> None:
    code, commands = run_script(tmp_path, FAIL="dial")
    assert code == 1 and commands[-1][2] == "dial"
    (tmp_path / "out/done/train-joint").unlink()
    code, again = run_script(tmp_path)
    assert code == 0 and [command[2] for command in again[:3]] == ["autoencoder", "dial", "decoder"]
    assert "--resume" in again[0] and "--start-from" not in again[0]


def test_a_model_to_start_from_takes_the_place_of_a_draft(tmp_path: Path) -> None:
    code, commands = run_script(tmp_path, START="some/model")
    assert code == 0 and commands[0][2] == "autoencoder"
    options = [parsed(arguments) for program, *arguments in commands if program == "vqcodec"]
    assert options[0]["start_from"] == "some/model"
    assert sum(float(str(values["minutes"])) for values in options if values.get("minutes")) == pytest.approx(10)
