"""Uploads and what was made of them, in memory: those that were not used for longest are dropped when all become too much."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

UPLOAD: Final = "upload"
"""Name of the upload itself among the files of its id."""


@dataclass(frozen=True)
class Blob:
    """A file in memory.

    Attributes:
        media_type: its type.
        data: its bytes.
    """

    media_type: str
    data: bytes


class Store:
    """Uploads by their id, each with the files that were made of it by name.

    An upload is dropped with all that was made of it, so that nothing is missing of what is there.

    Args:
        max_bytes: most bytes of all files together; the upload that was used last is kept in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._uploads: OrderedDict[str, dict[str, Blob]] = OrderedDict()

    def add_upload(self, data: bytes) -> str:
        """Keeps an upload, and returns its id, which cannot be guessed."""
        file = secrets.token_urlsafe(16)
        self._uploads[file] = {}
        self.put(file, UPLOAD, Blob("application/octet-stream", data))
        return file

    def begin(self, file: str) -> bytes | None:
        """Returns an upload that is to be worked on, or None where it must be sent again, since it was dropped.

        It is dropped here if what was made of it alone is more than is kept, so that this does not grow with every task.
        """
        if self.num_bytes > self.max_bytes:
            self._drop(file)
        upload = self.get(file, UPLOAD)
        return None if upload is None else upload.data

    def put(self, file: str, name: str, blob: Blob) -> None:
        """Keeps a file of an upload that was not dropped, and drops the uploads that were not used for longest, as far as needed."""
        replaced = self.get(file, name)
        if file not in self._uploads:
            return
        self._uploads[file][name] = blob
        self.num_bytes += len(blob.data) - (len(replaced.data) if replaced else 0)
        while self.num_bytes > self.max_bytes and len(self._uploads) > 1:
            self._drop(next(iter(self._uploads)))

    def get(self, file: str, name: str) -> Blob | None:
        """Returns a file, or None where it was dropped or never there; its upload counts as used."""
        if file not in self._uploads:
            return None
        self._uploads.move_to_end(file)
        return self._uploads[file].get(name)

    def _drop(self, file: str) -> None:
        self.num_bytes -= sum(len(blob.data) for blob in self._uploads.pop(file, {}).values())
