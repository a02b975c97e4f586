"""Checks that compiled frequencies are those of torch, which kernels are used, and that without them all goes on in torch."""

from pathlib import Path

import numpy as np
import pytest

from vqcodec.coding import frequencies
from vqcodec.nn import kernels

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")


@needs_kernels
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_shares_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    rng = np.random.default_rng(0)
    spread = [rng.integers(-limit, limit + 1, (50, size)) for limit in (1, 40, 400, 1023) for size in (2, 64, 512, 513)]
    tied = [np.full((3, 512), 7), np.repeat([[-1023, 1023]], 100, axis=1)]
    for logits in (array.astype(dtype) for array in [*spread, *tied]):
        compiled = frequencies.shares_from_logits(logits)
        with monkeypatch.context() as without:
            without.setattr(frequencies, "library", lambda: None)
            assert np.array_equal(compiled, frequencies.shares_from_logits(logits))
        assert ((compiled + 1).sum(axis=1, dtype=np.float64) == frequencies.TOTAL).all()


@pytest.mark.skipif(not any(kernels.FOLDER.glob("*.so")), reason="the package was built without a C compiler")
def test_libraries_that_were_built_are_used() -> None:
    assert kernels.library() is not None


@needs_kernels
def test_a_set_of_instructions_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kernels.instruction_sets():
        monkeypatch.setenv(kernels.VARIABLE, name)
        forced, expected = kernels.library.__wrapped__(), kernels.library_for(name)
        assert expected is None or (forced is not None and forced._name == expected._name)
    for name in ("none", "of another processor"):
        monkeypatch.setenv(kernels.VARIABLE, name)
        assert kernels.library.__wrapped__() is None


def test_libraries_of_another_version_or_none_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in kernels.instruction_sets():
        (tmp_path / f"kernels-{name}.so").write_text("no library")
    for name, value in (("VERSION", -1), ("FOLDER", tmp_path)):
        with monkeypatch.context() as changed:
            changed.setattr(kernels, name, value)
            assert kernels.library.__wrapped__() is None
