"""Checks that docs/cli.md names every command, option and default of the command line, and none that does not exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from vqcodec.cli import main

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def commands(command: click.Command, path: tuple[str, ...] = ("vqcodec",)) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command


COMMANDS = dict(commands(main))


def options(command: click.Command) -> dict[str, click.Option]:
    return {
        name: option for option in command.params if isinstance(option, click.Option) for name in (*option.opts, *option.secondary_opts)
    }


def rows(path: tuple[str, ...]) -> dict[str, str]:
    """Returns the rows of the table of options in the section of a command, by the names of the option."""
    found = re.search(rf"^##+ {' '.join(path)}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"no section about {' '.join(path)}"
    table = re.findall(r"^\| (`-[^|]*) \|(.*)\|$", found[1], re.MULTILINE)
    return {name: text for names, text in table for name in OPTION.findall(names)}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_options_of_a_command_are_described(path: tuple[str, ...]) -> None:
    known, own = options(COMMANDS[path]), rows(path)
    shared = rows(path[:-1]) if len(path) == 3 and "--config" in known else {}
    assert own.keys().isdisjoint(shared)
    assert own.keys() | shared.keys() == known.keys()
    for name, text in (shared | own).items():
        option = known[name]
        if option.required:
            assert "Required." in text, name
        if option.show_default:
            default = option.default[0] if isinstance(option.default, tuple) else option.default
            assert re.search(rf"[Tt]he default is `?{re.escape(str(default))}`?[.,]", text), name


def test_nothing_else_is_named() -> None:
    known = {"-h", "--help", "--version"}.union(*(options(command) for command in COMMANDS.values()))
    code = re.findall(r"`([^`\n]+)`|^ {4}(.*)$", TEXT, re.MULTILINE)
    assert {name for spans in code for name in OPTION.findall(" ".join(spans))} <= known
    sections = re.findall(r"^##+ (vqcodec .*)$", TEXT, re.MULTILINE)
    assert {tuple(section.split()) for section in sections} == {*COMMANDS, *(path[:-1] for path in COMMANDS if len(path) == 3)}
