"""Checks that mistakes in configs and arguments are told by their name."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest

from vqcodec.checks import (
    AT_LEAST_1,
    SHARE,
    check_at_least,
    check_fields,
    check_number,
    checked_at_least,
    checked_number,
    checked_size,
    checked_whole,
    config_from_dict,
)


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


def test_numbers_of_numpy_become_those_of_python() -> None:
    for value in (7, np.uint8(7), np.int64(7)):
        for number in (checked_whole("seed", value), checked_at_least("seed", value, 7), checked_number("seed", value)):
            assert type(number) is int and number == 7
        check_at_least("seed", value, 7)
        with pytest.raises(ValueError, match="seed must be at least 8, not 7$"):
            checked_at_least("seed", value, 8)
    for value in (0.5, np.float16(0.5), np.float64(0.5), Fraction(1, 2)):
        number = checked_number("share", value)
        assert type(number) is float and number == 0.5
        with pytest.raises(TypeError, match="share must be a whole number"):
            checked_whole("share", value)
    assert [type(side) for side in checked_size((np.uint16(3), np.int32(4)))] == [int, int]
    for value in (np.bool_(True), np.zeros(2), "1", None):
        with pytest.raises(TypeError, match="share must be a number"):
            checked_number("share", value)
