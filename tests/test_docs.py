"""README's code runs, and every figure in README and model cards is what the result files say."""

import re
from pathlib import Path

import pytest

from bench.figures import ROOT, documents, filled

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_readme_python_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_are_those_of_the_result_files(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m bench figures"
    assert "<!-- figures:" in text
