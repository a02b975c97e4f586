"""Checks what is kept in memory, and what is dropped first."""

from vqcodec.serve.store import UPLOAD, Blob, Store


def test_what_was_not_used_for_longest_is_dropped() -> None:
    store = Store(100)
    first, second = store.add_upload(bytes(40)), store.add_upload(bytes(40))
    assert store.get(first, UPLOAD) is not None
    store.put(first, "a.png", Blob("image/png", bytes(30)))
    assert store.get(second, UPLOAD) is None
    assert store.get(first, UPLOAD) == Blob("application/octet-stream", bytes(40))
    assert store.get(first, "a.png") == Blob("image/png", bytes(30)) and store.num_bytes == 70


def test_a_file_is_replaced_and_the_last_one_kept() -> None:
    store = Store(10)
    file = store.add_upload(bytes(8))
    store.put(file, UPLOAD, Blob("x/y", bytes(5)))
    assert store.num_bytes == 5
    store.put(file, "large", Blob("x/y", bytes(99)))
    assert store.get(file, UPLOAD) is None and store.get(file, "large") is not None and store.num_bytes == 99


def test_ids_cannot_be_guessed() -> None:
    ids = {Store(10).add_upload(b"same") for _ in range(3)}
    assert len(ids) == 3 and all(len(file) >= 20 for file in ids)
