"""Checks that compiled kernels give the very numbers of torch, clipped values included, and that without them all goes on in torch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import random_prior
from vqcodec.coding import frequencies
from vqcodec.nn import kernels
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.backend import Backend, ColumnCache, TorchBackend
from vqcodec.nn.prior.cpu_backend import CpuBackend, CpuKeyValueCache, fastest_backend
from vqcodec.nn.prior.fixed_layers import ExactWeight
from vqcodec.nn.prior.fixed_point import ATTENTION_POWERS, MAX_ACTIVATION, MAX_STREAM
from vqcodec.nn.prior.pixelsnail import PixelSnail

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason="the package was built without a C compiler")
CONFIG = PriorConfig(codebook_size=40, channels=37, blocks=3, embedding_dim=12, heads=3, head_dim=33, slope=2)
N, H, W = 3, 9, 7


@pytest.fixture(params=["int8", "float32"])
def prior(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> PixelSnail:
    monkeypatch.setattr("vqcodec.nn.prior.fixed_layers.has_int8_products", lambda: request.param == "int8")
    torch.manual_seed(3)
    prior = random_prior(CONFIG)
    prior.load_integers(prior.integers())
    return prior


def both(weight: ExactWeight) -> tuple[Backend, Backend]:
    compiled = fastest_backend(weight)
    assert isinstance(compiled, CpuBackend)
    return TorchBackend(), compiled


def streams(rows: int, channels: int, seed: int) -> Tensor:
    """Returns streams, some at their limits, among them all values that round differently up and down."""
    x = torch.randint(-1200, 1201, (rows, channels), generator=torch.Generator().manual_seed(seed)).float()
    x[0] = MAX_STREAM
    x[-1] = -MAX_STREAM
    return x


def activations(rows: int, channels: int, seed: int) -> Tensor:
    x = torch.randint(-MAX_ACTIVATION, MAX_ACTIVATION + 1, (rows, channels), generator=torch.Generator().manual_seed(seed)).float()
    x[0] = MAX_ACTIVATION
    return x


def equal(results: Iterator[Tensor]) -> bool:
    first, second = (result.float() for result in results)
    return torch.equal(first, second)


@needs_kernels
def test_streams_gates_and_logits_are_those_of_torch(prior: PixelSnail) -> None:
    block, rows = prior.gated_blocks[0], 21
    project, head = block.project.exact_weight, prior.head.exact_weight
    project.unit[:5] *= 2.0**9  # far beyond the limits
    for seed in range(3):
        hidden, x = activations(rows, CONFIG.channels, seed), streams(rows, CONFIG.channels, seed)
        assert equal(backend.to_stream(project, hidden) for backend in both(project))
        assert equal(backend.to_stream(project, hidden, x) for backend in both(project))
        assert equal(backend.to_logits(head, x) for backend in both(head))
        conv = block.conv.exact_weight
        taps = activations(rows, conv.matrix.shape[0], seed)
        starts = streams(rows, 3 * 2 * CONFIG.channels, seed).chunk(3, dim=-1)
        for start in (conv.bias, starts[1]):
            assert equal(backend.gate(conv, taps, start) for backend in both(conv))


@needs_kernels
def test_columns_move_on_as_in_torch(prior: PixelSnail) -> None:
    conv = prior.gated_blocks[0].conv
    columns = [ColumnCache(conv, N, H), ColumnCache(conv, N, H)]
    for step in range(40):
        rows = slice(step % 5, 5 + step % 4)
        count = N * (rows.stop - rows.start)
        x = streams(count, CONFIG.channels, step)
        mask = None if step % 2 else torch.rand(count, generator=torch.Generator().manual_seed(step)) < 0.7
        pairs = list(zip(both(conv.exact_weight), columns, strict=True))
        assert equal(backend.push(own, x, mask, rows) for backend, own in pairs)
        assert equal(backend.taps(own, slice(0, H)) for backend, own in pairs)


@needs_kernels
@pytest.mark.parametrize("is_full", [True, False])
def test_attention_caches_keys_and_values_as_in_torch(prior: PixelSnail, is_full: bool) -> None:
    assert prior.attention is not None
    valid = torch.ones(N, 8, 40, dtype=torch.bool)
    if not is_full:
        valid[1] = False
        valid[2, 3:] = False
    caches = [backend.key_value_cache(prior.attention, valid) for backend in both(prior.first.exact_weight)]
    for step in range(40):
        mask = None if is_full else valid[:, :, step].flatten()
        x = streams(N * 8, CONFIG.channels, step)
        means = [cache.means(x, mask).float() for cache in caches]
        asked = slice(None) if mask is None else mask
        assert torch.equal(means[0][asked], means[1][asked])
    assert len(means[0].unique()) > 20


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


@needs_kernels
def test_attention_allocates_what_kernels_expect_whatever_the_defaults(prior: PixelSnail) -> None:
    assert prior.attention is not None
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            cache = fastest_backend(prior.first.exact_weight).key_value_cache(
                prior.attention, torch.ones(N, H, W, dtype=torch.bool, device="cpu")
            )
    finally:
        torch.set_default_dtype(torch.float32)
    assert isinstance(cache, CpuKeyValueCache)
    tensors = cache.keys, cache.values, cache.weights, cache.counts, cache.powers
    assert [tensor.dtype for tensor in tensors] == [torch.float32] * 3 + [torch.int64, torch.float32]
    assert all(tensor.device.type == "cpu" for tensor in tensors)
    assert cache.powers.tolist() + [0.0] * (len(ATTENTION_POWERS) - len(cache.powers)) == ATTENTION_POWERS


@needs_kernels
def test_attention_takes_no_more_codes_than_a_tile_has(prior: PixelSnail) -> None:
    assert prior.attention is not None
    cache = fastest_backend(prior.first.exact_weight).key_value_cache(prior.attention, torch.ones(N, 2, 3, dtype=torch.bool))
    x = streams(N * 2, CONFIG.channels, 0)
    for _ in range(3):
        cache.means(x, None)
    with pytest.raises(ValueError, match="2 more codes"):
        cache.means(x, None)


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


def test_libraries_of_another_version_or_none_are_not_used(monkeypatch: pytest.MonkeyPatch, prior: PixelSnail, tmp_path: Path) -> None:
    for name in kernels.instruction_sets():
        (tmp_path / f"kernels-{name}.so").write_text("no library")
    for name, value in (("VERSION", -1), ("FOLDER", tmp_path)):
        with monkeypatch.context() as changed:
            changed.setattr(kernels, name, value)
            assert kernels.library.__wrapped__() is None
    monkeypatch.setattr("vqcodec.nn.prior.cpu_backend.library", lambda: None)
    assert isinstance(fastest_backend(prior.first.exact_weight), TorchBackend)
