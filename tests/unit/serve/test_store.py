"""Checks what is kept in memory, and what is dropped first."""

from vqcodec.serve.store import UPLOAD, Blob, Store


def png(num_bytes: int) -> Blob:
    return Blob("image/png", bytes(num_bytes))


def test_the_upload_that_was_not_used_for_longest_is_dropped_with_all_that_was_made_of_it() -> None:
    store = Store(100)
    first, second = store.add_upload(bytes(20)), store.add_upload(bytes(20))
    store.put(first, "a.png", png(10))
    store.put(second, "a.png", png(10))
    assert store.get(first, "a.png") == png(10)  # which counts as use of all of the first
    third = store.add_upload(bytes(60))
    assert store.get(second, UPLOAD) is None and store.get(second, "a.png") is None
    assert store.get(first, UPLOAD) == Blob("application/octet-stream", bytes(20)) and store.get(first, "a.png") == png(10)
    assert store.get(third, UPLOAD) is not None and store.num_bytes == 90


def test_a_file_is_replaced() -> None:
    store = Store(100)
    file = store.add_upload(bytes(8))
    for num_bytes in (50, 60, 5):
        store.put(file, "a.png", png(num_bytes))
    assert store.get(file, "a.png") == png(5) and store.num_bytes == 13


def test_the_upload_that_was_used_last_is_kept_whole_until_it_is_worked_on_again() -> None:
    store = Store(10)
    file = store.add_upload(bytes(8))
    for name in ("a.png", "b.png"):
        store.put(file, name, png(99))
    assert store.get(file, UPLOAD) is not None and store.get(file, "a.png") is not None and store.get(file, "b.png") is not None
    assert store.begin(file) is None and store.get(file, "b.png") is None and store.num_bytes == 0
    again = store.add_upload(bytes(8))
    assert store.begin(again) == bytes(8) and store.begin(file) is None


def test_nothing_is_kept_of_an_upload_that_was_dropped() -> None:
    store = Store(10)
    dropped, kept = store.add_upload(bytes(8)), store.add_upload(bytes(8))
    store.put(dropped, "late.png", png(1))
    assert store.get(dropped, "late.png") is None and store.begin(kept) == bytes(8) and store.num_bytes == 8


def test_ids_cannot_be_guessed() -> None:
    ids = {Store(10).add_upload(b"same") for _ in range(3)}
    assert len(ids) == 3 and all(len(file) >= 20 for file in ids)
