"""Names of shards: one file, or a numbered set such as `data-{000000..}.tar`."""

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from vqcodec.errors import VqcodecError

_MOST_DIGITS: Final = 12
"""Most digits of the number of a shard."""


@dataclass(frozen=True)
class ShardNames:
    """Where shards are written to.

    Attributes:
        folder: folder of the shards.
        before, after: what stands before and after the number in the name of a shard.
        first: number of the first shard, with as many digits as the numbers have at least; empty where there is one shard without a number.
    """

    folder: Path
    before: str
    first: str
    after: str

    @classmethod
    def parse(cls, output: Path) -> Self:
        """Reads the name of an output.

        Raises:
            VqcodecError: It is no name of a file, or has braces that hold no number.
        """
        if not output.name or "{" in str(output.parent):
            raise VqcodecError(f"{output}: expected the name of a file, such as data.tar or data-{{000000..}}.tar")
        found = re.fullmatch(rf"([^{{}}]*)\{{([0-9]{{1,{_MOST_DIGITS}}})\.\.\}}([^{{}}]*)", output.name)
        if found is None and set("{}") & set(output.name):
            raise VqcodecError(f"{output}: expected one number in braces, such as data-{{000000..}}.tar")
        before, first, after = (output.name, "", "") if found is None else found.groups()
        return cls(output.parent, before, first, after)

    @property
    def suffix(self) -> str:
        """The suffix of the shards, in lower case."""
        return Path(self.name(0)).suffix.lower()

    def name(self, number: int) -> str:
        """Returns the name of a shard, counted from 0."""
        return f"{self.before}{int(self.first) + number:0{len(self.first)}}{self.after}" if self.first else self.before

    def existing(self) -> list[Path]:
        """Returns the files that are there and have names of such shards, from the first number on, in the order of their numbers."""
        if not self.first:
            return [path for path in [self.folder / self.before] if path.exists() or path.is_symlink()]
        name = re.compile(re.escape(self.before) + rf"([0-9]{{{len(self.first)},{_MOST_DIGITS}}})" + re.escape(self.after))
        paths = self.folder.glob(f"{glob.escape(self.before)}*{glob.escape(self.after)}")
        found = [(int(match[1]), path) for path in paths if (match := name.fullmatch(path.name))]
        return [path for number, path in sorted(found) if number >= int(self.first)]
