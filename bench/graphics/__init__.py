"""Pictures that are no photos, drawn by code, and what the codec makes of them."""

from typing import Final

from bench.graphics.canvas import Drawing
from bench.graphics.diagrams import DIAGRAMS
from bench.graphics.interfaces import INTERFACES
from bench.graphics.mixed import MIXED
from bench.graphics.noisy import NOISY
from bench.graphics.pages import PAGES
from bench.graphics.plain import PLAIN

GRAPHICS: Final[dict[str, Drawing]] = {**PLAIN, **PAGES, **INTERFACES, **DIAGRAMS, **MIXED, **NOISY}
"""All drawings by name."""
