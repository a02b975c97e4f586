"""Checks on the same tiles that the compiled kernels alone code them as torch does."""

from functools import partial
from itertools import cycle

import numpy as np
import pytest

from tests.property.conftest import NUM_MAPS, Maps
from vqcodec.coding import native as native_coding
from vqcodec.coding import prior as prior_coding
from vqcodec.coding import streams
from vqcodec.coding.native import decode_natively, encode_natively
from vqcodec.models.model import Model
from vqcodec.nn.kernels import instruction_sets, library_for
from vqcodec.nn.prior.native import NativePrior, has_native_priors


@pytest.mark.slow
@pytest.mark.parametrize("number", range(NUM_MAPS))
@pytest.mark.skipif(not has_native_priors(), reason="the package was built without a C compiler")
def test_kernels_alone_give_the_streams_of_torch(model: Model, photos: list[Maps], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """By every set of instructions that is here, by several numbers of threads, and in batches of several sizes."""
    prior = model.priors[number]
    indices, earlier = [maps[number] for maps in photos], [maps[:number] for maps in photos]
    sizes = [(codes.shape[0], codes.shape[1]) for codes in indices]
    with monkeypatch.context() as in_torch:
        in_torch.setattr(prior_coding, "native_prior_of", lambda _: None)
        expected = [list(of_picture) for of_picture in prior_coding.code_by_prior(prior, indices, earlier)]
    tensors = {name: value.numpy() for name, value in prior.integers().items()}
    sets = [library for library in map(library_for, instruction_sets()) if library is not None]
    for library, threads, batch in zip(cycle(sets), (1, 2, 4, 2, 1), (1, 3, 24, 32, 24), strict=False):
        monkeypatch.setattr(streams, "WALKED_TILES", batch)
        native = NativePrior(prior.config, tensors, library)
        monkeypatch.setattr(native_coding, "num_own_threads", partial(int, threads))
        assert encode_natively(native, indices, earlier) == expected
        decoded = decode_natively(native, expected, sizes, earlier)
        assert all(result.error is None and np.array_equal(result.indices, codes) for result, codes in zip(decoded, indices, strict=True))
