"""CONTRIBUTING's map names every file of the package and nothing else, and its table every dependency."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def read_map() -> dict[Path, str]:
    """Returns the description of every path in the map, whose lines are indented by two spaces a level."""
    block = TEXT.split("## Where everything is")[1].split("```")[1]
    described: dict[Path, str] = {}
    folders: list[str] = []
    for line in block.strip().splitlines():
        indent, name, text = re.fullmatch(r"( *)(\S+) *(.*)", line).groups()
        folders = [*folders[: len(indent) // 2], name]
        described[Path(*folders)] = text
    return described


def python_rooms(folder: str) -> set[Path]:
    """Returns the packages and modules below a folder; a package stands for its `__init__.py`."""
    modules = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    return {path.parent if path.name == "__init__.py" else path for path in modules}


def test_map_names_what_is_there_and_says_what_it_holds() -> None:
    described = read_map()
    assert not [path for path in described if not (ROOT / path).exists()]
    assert not [path for path, text in described.items() if len(text.split()) < 2]


def test_map_names_every_package_and_module() -> None:
    described = read_map().keys()
    assert not (python_rooms("vqcodec") | python_rooms("bench")) - described


def test_map_names_every_recipe_document_and_folder_of_tests() -> None:
    described = read_map().keys()
    expected = {*ROOT.glob("recipes/*.toml"), *ROOT.glob("docs/*.md"), *(path.parent for path in ROOT.glob("tests/*/__init__.py"))}
    assert not {path.relative_to(ROOT) for path in expected} - described


def test_way_of_the_data_names_files_that_are_there() -> None:
    named = re.findall(r"`((?:vqcodec|tests|bench|models|recipes)/[\w./-]+\.\w+)`", TEXT)
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    packages = {re.match(r"[\w-]+", requirement)[0] for requirement in required} - {project["name"]}
    reasons = dict(re.findall(r"^\| ([\w-]+) \| [^|]+ \| (.+) \|$", TEXT.split("## Dependencies")[1], re.MULTILINE))
    assert packages == reasons.keys() - {"package"}
