"""Checks that warnings are ignored while pictures are read, and told as before afterwards, by however many threads."""

import warnings
from io import BytesIO
from threading import Event, Thread

from PIL import Image

from tests.conftest import make_picture
from vqcodec.images.picture import read_picture
from vqcodec.silence import warnings_ignored

SECONDS = 30


def test_warnings_are_ignored_until_the_last_user_leaves() -> None:
    before = list(warnings.filters)
    first, second = warnings_ignored(), warnings_ignored()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("by hand", stacklevel=1)  # an error, were it not ignored
    second.__exit__(None, None, None)
    assert warnings.filters == before
    with warnings_ignored():
        warnings.warn("by hand", stacklevel=1)
    assert warnings.filters == before


class Held(BytesIO):
    """A file whose first read tells that it has begun, and waits."""

    def __init__(self, data: bytes, begun: Event, may_go_on: Event) -> None:
        super().__init__(data)
        self._begun, self._may_go_on = begun, may_go_on

    def read(self, size: int | None = -1, /) -> bytes:
        self._begun.set()
        assert self._may_go_on.wait(SECONDS)
        return super().read(size)


def test_reading_by_two_threads_leaves_the_filters_of_warnings() -> None:
    out = BytesIO()
    Image.fromarray(make_picture(8, 8)).save(out, "PNG")
    before = list(warnings.filters)
    first_begun, second_begun, first_done = Event(), Event(), Event()
    first = Thread(target=read_picture, args=[Held(out.getvalue(), first_begun, second_begun)], daemon=True)
    second = Thread(target=read_picture, args=[Held(out.getvalue(), second_begun, first_done)], daemon=True)
    first.start()
    assert first_begun.wait(SECONDS)
    second.start()
    first.join(SECONDS)
    first_done.set()
    second.join(SECONDS)
    assert not first.is_alive() and not second.is_alive() and warnings.filters == before
