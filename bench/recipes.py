"""Tables of the keys of recipes, from the dataclasses that read them: their fields, defaults, ranges and docstrings."""

import dataclasses
import inspect
import json
import re
from typing import Any, Final

from vqcodec.checks import allowed_values
from vqcodec.nn.configs import DiscriminatorConfig, PriorConfig, VQVAEConfig
from vqcodec.training.recipe import AutoencoderRecipe, DecoderRecipe, PriorRecipe, Recipe

RECIPES: Final = (Recipe, AutoencoderRecipe, PriorRecipe, DecoderRecipe)
NETWORKS: Final = (VQVAEConfig, PriorConfig, DiscriminatorConfig)


def meanings(kind: type[Any]) -> dict[str, str]:
    """Returns what the docstring of a dataclass says about each of its attributes, those that its bases describe included."""
    described: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if dataclasses.is_dataclass(base)]):
        section = re.search(r"^Attributes:\n((?: +.*\n?)+)", inspect.getdoc(base) or "", re.MULTILINE)
        for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
            described.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    return described


def keys_table(kind: type[Any]) -> str:
    """Returns the table of the keys that a dataclass has beyond its base, one row a key."""
    inherited = {item.name for base in kind.__bases__ if dataclasses.is_dataclass(base) for item in dataclasses.fields(base)}
    values, said = allowed_values(kind, kind.RANGES), meanings(kind)
    lines = ["| key | default | what it may be | meaning |", "|---|---|---|---|"]
    for item in dataclasses.fields(kind):
        if item.name in inherited:
            continue
        default = f"`{json.dumps(item.default)}`" if item.default is not dataclasses.MISSING else "of its table"
        what = values[item.name] if item.default is not dataclasses.MISSING else f"the table `[{item.name}]`"
        lines.append(f"| `{item.name}` | {default} | {what} | {said[item.name]} |")
    return "\n".join(lines)
