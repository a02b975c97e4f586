"""What the server and its worker process say to each other. Imports no torch, which the worker alone loads."""

from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from vqcodec.models.dial import TUNES

PEERS: Final = ("jpeg", "webp", "avif")
"""Names of the codecs that a picture can be seen by in as many bytes."""

Kind = Literal["code", "peer", "inside"]
"""What can be asked of a file: its .vq file and picture, another codec's picture in as many bytes, what its bytes are spent on."""


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        kind: what is wanted.
        file: id of the file.
        data: bytes of the file, a picture or a .vq file.
        quality: place on the dial, 1..100; without effect on a .vq file, as `tune`.
        tune: what bytes are spent on.
        realism: how the picture is painted, 0..1.
        peer: name of the other codec, for a peer.
        num_bytes: most bytes of the other codec's file, for a peer.
    """

    kind: Kind
    file: str
    data: bytes
    quality: float = 50.0
    tune: str = "iq"
    realism: float = 0.0
    peer: str = PEERS[0]
    num_bytes: int = 1

    @classmethod
    def of(cls, kind: str, file: str, data: bytes, options: object) -> Self:
        """Returns the task that a request asks for.

        Args:
            kind: what is wanted.
            file: id of the file.
            data: bytes of the file.
            options: the attributes that are not the default, by name, as JSON has them.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        if not isinstance(options, dict) or not options.keys() <= {"quality", "tune", "realism", "peer", "num_bytes"}:
            raise ValueError("expected an object with some of quality, tune, realism, peer, num_bytes")
        task = cls(kind, file, data, **options)  # type: ignore[arg-type]
        for name, low, high in (("quality", 1, 100), ("realism", 0, 1), ("num_bytes", 1, 1 << 40)):
            value = getattr(task, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} must be a number in {low}..{high}")
        for name, known in (("kind", get_args(Kind)), ("tune", TUNES), ("peer", PEERS)):
            if getattr(task, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}")
        return task


@dataclass(frozen=True)
class Waiting:
    """A task waits until the one before it is done."""


@dataclass(frozen=True)
class Progress:
    """A task has come so far.

    Attributes:
        share: share of the work that is done, 0..1.
        step: what is being done, for people.
    """

    share: float
    step: str


@dataclass(frozen=True)
class Made:
    """A file that a task made.

    Attributes:
        name: name among the files of its upload, which says of what settings it is.
        media_type: type of the file.
        data: its bytes.
    """

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Done:
    """A task is done.

    Attributes:
        facts: what was found out, in the types of JSON.
    """

    facts: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """A task cannot be done.

    Attributes:
        message: one line for the user.
        can_retry: whether it was not done for a reason that may be gone the next time.
    """

    message: str
    can_retry: bool = False


Event = Waiting | Progress | Made | Done | Failed
"""What is said of a task; `Done` or `Failed` comes last."""
