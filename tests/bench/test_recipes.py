"""Every key of recipes has a meaning and a range, and the shipped recipes have no key besides."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.images import MODELS, ROOT
from bench.recipes import NETWORKS, RECIPES, keys_table, meanings
from vqcodec.checks import allowed_values
from vqcodec.training.recipe import AutoencoderRecipe

SHIPPED = [*sorted(ROOT.glob("recipes/*.toml")), *sorted(MODELS.glob("*/*recipe.toml"))]
KINDS = pytest.mark.parametrize("kind", [*RECIPES, *NETWORKS], ids=lambda kind: kind.__name__)


@KINDS
def test_docstring_describes_every_key_and_no_other(kind: type[Any]) -> None:
    described = meanings(kind)
    assert described.keys() == {item.name for item in dataclasses.fields(kind)}
    assert not [name for name, text in described.items() if len(text.split()) < 3 or not text.endswith(".")]


@KINDS
def test_values_out_of_the_range_that_is_told_are_refused(kind: type[Any]) -> None:
    told = allowed_values(kind, kind.RANGES)
    for item in dataclasses.fields(kind):
        if told[item.name].startswith(("a number", "a whole number")):
            least = kind.RANGES.get(item.name, (0, 0))[0]
            assert f"{least}" in told[item.name]
            with pytest.raises(ValueError, match=f"^{item.name} must be {told[item.name]}, not"):
                kind(**{item.name: least - 1})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_name_every_key_of_shipped_recipes(path: Path) -> None:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    keys = [*values, *(key for value in values.values() if isinstance(value, dict) for key in value)]
    tables = "\n".join(keys_table(kind) for kind in (*RECIPES, *NETWORKS))
    assert keys and not [key for key in keys if f"| `{key}` |" not in tables]


def test_recipe_of_the_document_is_one() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), re.DOTALL)
    assert [AutoencoderRecipe.from_dict(tomllib.loads(block)).network.channels for block in blocks] == [64]
