"""Checks on 20 tiles of real photos that every way to compute the frequencies of the shipped priors gives the same numbers."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import torch_with
from tests.prior_oracle import prior_frequencies
from tests.property.conftest import NUM_MAPS, Maps
from vqcodec.coding import prior as prior_coding
from vqcodec.coding import streams
from vqcodec.coding.frequencies import freqs_from_logits
from vqcodec.coding.prior import score_map, walk_map
from vqcodec.coding.tiles import cut_tiles
from vqcodec.coding.walk import Choosing
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.plan import Places


def scored_digests(model: Model, photos: Sequence[Maps]) -> list[str]:
    """Returns the SHA-256 of all frequencies of each photo, computed in one pass."""
    digests = [hashlib.sha256() for _ in photos]
    for prior in model.priors[:NUM_MAPS]:
        for maps, digest in zip(photos, digests, strict=True):
            for _, freqs in score_map(prior, maps[: prior.config.earlier_maps + 1]):
                digest.update(freqs.astype("<i4").tobytes())
    return [digest.hexdigest() for digest in digests]


def stepped_digests(model: Model, photos: Sequence[Maps]) -> list[str]:
    """Returns the SHA-256 of all frequencies of each photo, computed step by step."""
    digests = [hashlib.sha256() for _ in photos]
    for prior in model.priors[:NUM_MAPS]:
        number = prior.config.earlier_maps
        current = [maps[number] for maps in photos]
        tiles = [tile for indices in current for tile in cut_tiles(indices, number)]
        logits: list[list[NDArray[np.int64]]] = [[] for _ in tiles]

        def choose(
            places: Places,
            step_logits: torch.Tensor,
            numbers: torch.Tensor,
            tiles: list[NDArray[np.int64]] = tiles,
            logits: list[list[NDArray[np.int64]]] = logits,
        ) -> torch.Tensor:
            tile, row, column = (place.numpy() for place in (numbers[places[0]], *places[1:]))
            for place, integers in zip(tile, step_logits.numpy(), strict=True):
                logits[place].append(integers)
            return torch.tensor([int(tiles[t][r, c]) for t, r, c in zip(tile, row, column, strict=True)])

        shapes = [(indices.shape[0], indices.shape[1]) for indices in current]
        choosing = Choosing(lambda numbers, choose=choose: (partial(choose, numbers=numbers), tuple), of_tiles=[torch.arange(len(tiles))])
        walk_map(prior, shapes, [maps[:number] for maps in photos], choosing)
        of_tiles = iter(logits)
        for indices, digest in zip(current, digests, strict=True):
            for of_tile in islice(of_tiles, len(cut_tiles(indices, number))):
                digest.update(freqs_from_logits(np.stack(of_tile)).astype("<i4").tobytes())
    return [digest.hexdigest() for digest in digests]


@pytest.fixture(scope="module")
def expected(model: Model, photos: list[Maps]) -> list[str]:
    """Returns the digests where all tiles of a photo's map are scored in one pass."""
    assert max(len(cut_tiles(maps[0], 0)) for maps in photos) <= prior_coding.SCORED_TILES
    return scored_digests(model, photos)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_scored_in_batches(model: Model, photos: list[Maps], expected: list[str], batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_coding, "SCORED_TILES", batch)
    assert scored_digests(model, photos) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "first"), [(1, 3), (3, 3), (24, 0)], ids=["1", "3", "24"])
def test_stepped(model: Model, photos: list[Maps], expected: list[str], batch: int, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small batches, the tiles of the last photo alone are walked."""
    monkeypatch.setattr(streams, "WALKED_TILES", batch)
    assert stepped_digests(model, photos[first:]) == expected[first:]


_PROGRAM = """
import sys
import numpy as np
import torch
sys.path.insert(0, {root!r})
torch.set_num_threads({threads})
torch.backends.mkldnn.set_flags({onednn})
from tests.property.test_exactness import scored_digests
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
arrays = np.load({maps!r})
print(*scored_digests(load_model(DEFAULT_MODEL, device="cpu"), [[arrays[f"{{n}}_0"], arrays[f"{{n}}_1"]] for n in range({count})]))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize(
    ("threads", "capability", "onednn"),
    [(4, "", True), (1, "default", True), (2, "avx2", True), (1, "avx512", True), (1, "", False)],
)
def test_threads_instruction_sets_and_libraries(
    photos: list[Maps], expected: list[str], tmp_path: Path, threads: int, capability: str, onednn: bool
) -> None:
    """With another set of instructions than here, in a process of its own, since torch chooses it when it is loaded."""
    here = torch.backends.cpu.get_cpu_capability()
    if capability.upper() == "AVX512" != here:
        pytest.skip("this processor has no AVX-512")
    if capability.upper() in ("", here):
        with torch_with(threads=threads, onednn=onednn):
            assert scored_digests(load_model(DEFAULT_MODEL, device="cpu"), photos) == expected
        return
    np.savez(tmp_path / "maps.npz", **{f"{n}_{number}": maps[number] for n, maps in enumerate(photos) for number in range(NUM_MAPS)})
    root = str(Path(__file__).parents[2])
    program = _PROGRAM.format(root=root, threads=threads, onednn=onednn, maps=str(tmp_path / "maps.npz"), count=len(photos))
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "ATEN_CPU_CAPABILITY": capability}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_real_numbers_would_differ(model: Model, photos: list[Maps]) -> None:
    """In real numbers, the same network depends on the library that multiplies. So the checks above can fail."""
    prior = model.priors[1]
    top, bottom = (torch.from_numpy(np.stack([maps[number][:side, :side] for maps in photos])) for number, side in ((0, 32), (1, 64)))
    with torch.inference_mode():
        logits = prior(bottom, [top], Arithmetic.REAL)
        with torch.backends.mkldnn.flags(enabled=False):
            other = prior(bottom, [top], Arithmetic.REAL)
    assert not torch.equal(logits, other)
    assert float((logits - other).abs().max()) < 0.1


@pytest.mark.slow
def test_numpy_reference_agrees(model: Model, photos: list[Maps]) -> None:
    """The reference in plain integers was written from FORMAT.md alone. The tiles are small, as at the edge of a picture."""
    for prior in model.priors[:NUM_MAPS]:
        number = prior.config.earlier_maps
        tensors = {name: value.numpy() for name, value in prior.integers().items()}
        for maps in photos[:2]:
            crop = [indices[: 8 * scale, : 6 * scale] for indices, scale in zip(maps[: number + 1], (1, 2), strict=False)]
            ((_, freqs),) = score_map(prior, crop)
            *earlier, tile = crop
            assert np.array_equal(prior_frequencies(asdict(prior.config), tensors, earlier, tile), freqs)
