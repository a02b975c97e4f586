"""Hooks of MkDocs: the site has the documents where the repository has them, so that the same links work in both."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_LINK: Final = re.compile(r"\]\(([^)#\s]+)")
_MARK: Final = re.compile(r"^<!-- (?:figures:[\w-]+|end) -->$", re.MULTILINE)
_BLOCK: Final = re.compile(r"^(```|    ).*?(?:^```$|$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Returns the files of the theme, the style, the pages of the navigation, and what these link to: documents are pages, too."""
    root = Path(config.config_file_path).parent
    pending = [root / path for path in _leaves(config.nav)]
    found: dict[str, File] = {}
    while pending:
        path = pending.pop().resolve()
        name = path.relative_to(root).as_posix()
        if name in found:
            continue
        if not path.is_file():
            raise PluginError(f"{name}: a page links to it, but it is no file")
        found[name] = File.generated(config, name, abs_src_path=str(path))
        if path.suffix == ".md":
            pending += [path.parent / unquote(link) for link in _links(path.read_text(encoding="utf-8"))]
    kept = (file for file in files if file.src_dir != config.docs_dir or file.src_uri.endswith(".css"))
    return Files([*kept, *found.values()])


def on_page_markdown(markdown: str, **_: object) -> str:
    """Returns a page without the marks around tables, since a table begins after an empty line."""
    return _MARK.sub("", markdown)


def _leaves(entry: object) -> list[str]:
    """Returns the paths in a part of the navigation."""
    if isinstance(entry, dict):
        return _leaves([*entry.values()])
    return [path for part in entry for path in _leaves(part)] if isinstance(entry, list) else [str(entry)]


def _links(markdown: str) -> list[str]:
    """Returns what a document links to in the repository."""
    return [link for link in _LINK.findall(_BLOCK.sub("", markdown)) if "://" not in link]
