"""Checks that mistakes in configs and arguments are told by their name."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from vqcodec.checks import AT_LEAST_1, SHARE, check_fields, check_number, config_from_dict


@dataclass(frozen=True)
class Inner:
    size: int = 1

    def __post_init__(self) -> None:
        check_fields(self, {"size": AT_LEAST_1})


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    kind: Literal["a", "b"] = "a"
    share: float | None = None
    steps: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, {"share": SHARE})


def test_tables_become_dataclasses() -> None:
    values = {"name": "x", "inner": {"size": 3}, "kind": "b", "share": 1, "steps": [[1, 0.5], [2, 1]]}
    assert config_from_dict(Outer, values, "recipe") == Outer("x", Inner(3), "b", 1, ((1, 0.5), (2, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name must be text, not 3"),
        ({"other": 1, "size": 2}, "unknown key 'other', 'size' in recipe"),
        ({"inner": 4}, r"\[inner\] must be a table, not 4"),
        ({"inner": {"size": 0}}, "size must be a whole number of at least 1, not 0"),
        ({"inner": {"size": True}}, "size must be a whole number of at least 1, not True"),
        ({"kind": "c"}, "kind must be 'a' or 'b', not 'c'"),
        ({"share": 1.5}, r"share must be a number in 0\.\.1 or nothing, not 1.5"),
        ({"share": math.nan}, r"share must be a number in 0\.\.1 or nothing, not nan"),
        ({"steps": [[1]]}, "steps must be a list, each a list of 2: a whole number of at least 0, a number of at least 0, not"),
        ({"steps": [[1, -0.5]]}, "steps must be a list, each a list of 2"),
    ],
)
def test_mistakes_are_told_by_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_dict(Outer, {"name": "x", "inner": {}} | change, "recipe")
    with pytest.raises(ValueError, match=r"recipe must be a table, not \[\]"):
        config_from_dict(Outer, [], "recipe")


def test_numbers() -> None:
    check_number("size", 3, is_whole=True)
    check_number("share", 0.5, is_whole=False)
    for value, is_whole, message in [
        (0.5, True, "share must be a whole number, not 0.5"),
        (True, False, "share must be a number, not True"),
        ("1", False, "share must be a number, not '1'"),
    ]:
        with pytest.raises(TypeError, match=message):
            check_number("share", value, is_whole=is_whole)
