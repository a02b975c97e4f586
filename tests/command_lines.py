"""Command lines, as documents and help show them, checked against the commands."""

import click

from bench.__main__ import main as bench
from vqcodec.cli import main as vqcodec

PROGRAMS: dict[tuple[str, ...], click.Group] = {("vqcodec",): vqcodec, ("python", "-m", "bench"): bench}


def program_of(words: list[str]) -> tuple[click.Group, list[str]] | None:
    """Returns the program that a command line starts, and its arguments; None for programs of others."""
    return next(((program, words[len(name) :]) for name, program in PROGRAMS.items() if tuple(words[: len(name)]) == name), None)


def check_command_line(words: list[str]) -> None:
    """Parses a command line and converts its values, except for paths, which need not exist.

    Raises:
        click.UsageError: The command line cannot be understood.
    """
    found = program_of(words)
    assert found is not None, words
    command, arguments = found
    context = click.Context(command)
    while True:
        values, rest, _ = command.make_parser(context).parse_args([*arguments])
        if {"--help", "--version"} & set(arguments[:1]):
            return
        for parameter in command.params:
            value = values.get(parameter.name)
            if parameter.required and not isinstance(value, str | list | tuple):
                raise click.MissingParameter(ctx=context, param=parameter)
            if isinstance(value, str) and not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)
        if not isinstance(command, click.Group):
            if rest:
                raise click.UsageError(f"unexpected {rest}", context)
            return
        if not rest:
            if not command.invoke_without_command:
                raise click.UsageError(f"no command of {command.name}", context)
            return
        name, inner, arguments = command.resolve_command(context, rest)
        command, context = inner, click.Context(inner, parent=context, info_name=name)


def check_names(words: list[str]) -> None:
    """Checks that the commands and options that a piece of a command line names are there.

    Raises:
        click.UsageError: One is not.
    """
    found = program_of(words)
    assert found is not None, words
    command, arguments = found
    context = click.Context(command)
    while isinstance(command, click.Group) and arguments and arguments[0].islower() and arguments[0].isalpha():
        _, command, arguments = command.resolve_command(context, arguments)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"-h", "--help"}
    if unknown := {word for word in arguments if word.startswith("-") and word != "-"} - known:
        raise click.UsageError(f"unknown {unknown}", context)
