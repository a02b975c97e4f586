"""The site holds every document and every public name, and loads nothing from the network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import vqcodec
from bench.figures import documents
from bench.images import ROOT

pytest.importorskip("mkdocstrings", reason="mkdocstrings (extra `docs`) is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_document_is_a_page_of_the_navigation(site: Path) -> None:
    linked = set(re.findall(r'<a href="([^"#]+)" class="md-nav__link', (site / "404.html").read_text(encoding="utf-8")))
    names = [str(path.relative_to(ROOT)).replace("README.md", "index.md").removesuffix(".md") for path in documents()]
    assert len(names) > 15
    assert not [name for name in names if not any(link.endswith(f"/{name}.html") for link in linked)]


def test_page_of_python_has_every_public_name(site: Path) -> None:
    page = (site / "docs" / "api.html").read_text(encoding="utf-8")
    assert not [name for name in vqcodec.__all__ if not re.search(rf'id="vqcodec\.(errors\.)?{name}"', page)]


def test_nothing_is_loaded_from_the_network(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?https?:|<link[^>]*\shref=["']?https?:|@import|url\(["']?https?:""")
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(files) > 20
    assert not [(str(path), found[0]) for path in files if (found := loads.search(path.read_text(encoding="utf-8")))]
