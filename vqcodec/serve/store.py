"""Uploads and what was made of them, in memory: the oldest are dropped when they become too much."""

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
    """Files by the id of their upload and by name.

    Args:
        max_bytes: most bytes of all files together; the file that came last is kept in any case.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._blobs: OrderedDict[tuple[str, str], Blob] = OrderedDict()

    def add_upload(self, data: bytes) -> str:
        """Keeps an upload, and returns its id, which cannot be guessed."""
        file = secrets.token_urlsafe(16)
        self.put(file, UPLOAD, Blob("application/octet-stream", data))
        return file

    def put(self, file: str, name: str, blob: Blob) -> None:
        """Keeps a file, and drops those that were not used for longest, as far as needed."""
        replaced = self._blobs.pop((file, name), None)
        self.num_bytes += len(blob.data) - (len(replaced.data) if replaced else 0)
        self._blobs[file, name] = blob
        while self.num_bytes > self.max_bytes and len(self._blobs) > 1:
            _, dropped = self._blobs.popitem(last=False)
            self.num_bytes -= len(dropped.data)

    def get(self, file: str, name: str) -> Blob | None:
        """Returns a file, or None where it was dropped or never there."""
        blob = self._blobs.get((file, name))
        if blob is not None:
            self._blobs.move_to_end((file, name))
        return blob
