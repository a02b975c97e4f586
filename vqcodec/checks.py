"""Checks of values that people write. Configs are dataclasses, checked against their annotations, so that a mistake is told by its key."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

Range = tuple[float, float]
"""Smallest and largest value of a number."""

AT_LEAST_0: Final[Range] = (0, math.inf)
AT_LEAST_1: Final[Range] = (1, math.inf)
SHARE: Final[Range] = (0, 1)
_NAMES: Final[dict[type, str]] = {bool: "true or false", str: "text", dict: "a table", NoneType: "nothing"}

Config = TypeVar("Config")


def check_fields(config: object, ranges: Mapping[str, Range]) -> None:
    """Checks that the values of a dataclass have the annotated types, and that numbers, those in tuples too, are finite and in range.

    Args:
        config: an instance of the dataclass.
        ranges: range of the numbers of each field. The numbers of fields that are not named must not be negative.

    Raises:
        ValueError: A value is not as it must be. The message names the field.
    """
    hints = _hints(type(config))  # type: ignore[arg-type]
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value, kind, limits = getattr(config, item.name), hints[item.name], ranges.get(item.name, AT_LEAST_0)
        if not _fits(value, kind, limits):
            raise ValueError(f"{item.name} must be {_describe(kind, limits)}, not {value!r}")


def check_flag(name: str, value: object) -> None:
    """Checks that an argument is a truth value.

    Raises:
        TypeError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_number(name: str, value: object, *, is_whole: bool) -> None:
    """Checks that an argument is a number.

    Args:
        name: name of the argument.
        value: value of the argument.
        is_whole: whether it must be a whole number.

    Raises:
        TypeError: It is no such number. Truth values are no numbers.
    """
    if isinstance(value, bool) or not isinstance(value, Integral if is_whole else Real):
        raise TypeError(f"{name} must be {'a whole number' if is_whole else 'a number'}, not {value!r}")


def checked_whole(name: str, value: object) -> int:
    """Returns an argument that must be a whole number as an int of Python, which does not overflow as those of NumPy do.

    Raises:
        TypeError: It is no whole number.
    """
    check_number(name, value, is_whole=True)
    return int(value)  # type: ignore[call-overload, no-any-return]


def checked_number(name: str, value: object) -> float:
    """Returns an argument that must be a number as a number of Python: an int where it is whole by its type, else a float.

    Raises:
        TypeError: It is no number.
        ValueError: It is beyond the range of floating-point numbers.
    """
    check_number(name, value, is_whole=False)
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ValueError(f"{name} is too large") from error
    return int(value) if isinstance(value, Integral) else number


def check_at_least(name: str, value: object, least: int) -> None:
    """Checks that an argument is a whole number of at least `least`.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is below that.
    """
    checked_at_least(name, value, least)


def checked_at_least(name: str, value: object, least: int) -> int:
    """Returns an argument that must be a whole number of at least `least` as an int of Python; the errors are those of `check_at_least`."""
    if (number := checked_whole(name, value)) < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def checked_size(size: object) -> tuple[int, int]:
    """Returns width and height in pixels, which an argument `size` must hold.

    Raises:
        TypeError: It is no pair of whole numbers.
        ValueError: A side is below 1.
    """
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise TypeError(f"size must be a pair of width and height in pixels, not {size!r}")
    return checked_at_least("width", size[0], 1), checked_at_least("height", size[1], 1)


def checked_list(name: str, items: object, what: str) -> list[Any]:
    """Returns the items of an argument that must be a list of something, or anything like a list, but not one such thing by itself.

    Args:
        name: name of the argument.
        items: value of the argument.
        what: plural of what it must hold.

    Raises:
        TypeError: It is something else.
    """
    is_one = isinstance(items, str | bytes | bytearray | memoryview | Mapping) or hasattr(items, "read") or getattr(items, "ndim", 4) < 4
    if is_one or not isinstance(items, Iterable):
        raise TypeError(f"{name} must be a list of {what}, not {type(items).__name__}")
    return list(items)


def config_from_dict(kind: type[Config], values: object, name: str) -> Config:
    """Builds an instance of a dataclass from a table of JSON or TOML. Lists become tuples, and tables the dataclasses of their fields.

    Args:
        kind: the dataclass.
        values: the table.
        name: name of the table in messages.

    Raises:
        ValueError: `values` is no table, has an unknown key, or a value that the dataclass refuses.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{name} must be a table, not {values!r}")
    hints = _hints(kind)  # type: ignore[arg-type]
    if unknown := values.keys() - hints.keys():
        raise ValueError(f"unknown key {', '.join(sorted(map(repr, unknown)))} in {name}")

    def converted(key: str, value: Any) -> Any:
        return config_from_dict(hints[key], value, f"[{key}]") if dataclasses.is_dataclass(hints[key]) else _as_tuples(value)

    return kind(**{key: converted(key, value) for key, value in values.items()})


def allowed_values(kind: type[Any], ranges: Mapping[str, Range]) -> dict[str, str]:
    """Returns what `check_fields` lets the value of each field of a dataclass be, in words; tables by the name of their dataclass."""
    return {name: _describe(hint, ranges.get(name, AT_LEAST_0)) for name, hint in _hints(kind).items()}  # type: ignore[arg-type]


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """Returns the annotations of the fields of a dataclass, which take longer to find than all checks by them."""
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _fits(value: Any, kind: Any, limits: Range) -> bool:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in args
    if origin is UnionType:
        return any(_fits(value, arg, limits) for arg in args)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = (args[0],) * len(value) if args[-1] is Ellipsis else args
        return len(value) == len(kinds) and all(_fits(item, arg, limits) for item, arg in zip(value, kinds, strict=True))
    if kind in (int, float):
        is_number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max and limits[0] <= value <= limits[1]
    return isinstance(value, origin or kind)


def _describe(kind: Any, limits: Range) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is UnionType:
        return " or ".join(_describe(arg, limits) for arg in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"a list, each {_describe(args[0], limits)}"
        return f"a list of {len(args)}: {', '.join(_describe(arg, limits) for arg in args)}"
    if kind in (int, float):
        low, high = limits
        where = f"of at least {low}" if high == math.inf else f"in {low}..{high}"
        return f"a {'whole ' if kind is int else ''}number {where}"
    plain: type = origin or kind
    return _NAMES.get(plain, plain.__name__)
