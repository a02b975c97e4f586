"""Checks on 20 tiles of real photos that every way to compute the frequencies of the shipped priors gives the same numbers."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from tests.prior_oracle import prior_frequencies
from vqcodec.coding import prior as prior_coding
from vqcodec.coding import streams
from vqcodec.coding.frequencies import freqs_from_logits
from vqcodec.coding.native import decode_natively, encode_natively
from vqcodec.coding.prior import score_map, walk_map
from vqcodec.coding.tiles import cut_tiles
from vqcodec.coding.walk import Choosing
from vqcodec.encoding.pictures import encode_pictures
from vqcodec.images.picture import Picture, read_picture
from vqcodec.models.dial import OperatingPoint
from vqcodec.models.model import Model, load_model
from vqcodec.models.registry import DEFAULT_MODEL
from vqcodec.nn.kernels import instruction_sets, library_for
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.native import NativePrior, has_native_priors
from vqcodec.nn.prior.plan import Places

KODAK = Path(__file__).parents[3] / "shared" / "eval" / "kodak"
NUM_MAPS = 2
Maps = list[NDArray[np.int64]]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(DEFAULT_MODEL, device="cpu")


@pytest.fixture(scope="module")
def photos(model: Model) -> list[Maps]:
    """Returns top and bottom maps of photos that have 20 tiles in all: photos of Kodak, or else those that ship with scikit-image."""
    kodak = sorted(KODAK.glob("*.png"))[:4]
    if kodak:
        pictures = [read_picture(path) for path in kodak]
        pictures[-1] = Picture(np.ascontiguousarray(pictures[-1].pixels[:256, :512]))
    else:
        names = ("astronaut", "coffee", "chelsea", "rocket")
        pictures = [Picture(getattr(skimage.data, name)()) for name in names]
    encoded = encode_pictures(pictures, model, point=OperatingPoint(2, 0.0))
    assert sum(len(score_map(model.priors[0], file.indices[:1])) for file in encoded) == 20
    return [file.indices for file in encoded]


def scored_digest(model: Model, photos: Sequence[Maps]) -> str:
    """Returns the SHA-256 of all frequencies, computed in one pass."""
    digest = hashlib.sha256()
    for prior in model.priors[:NUM_MAPS]:
        for maps in photos:
            for _, freqs in score_map(prior, maps[: prior.config.earlier_maps + 1]):
                digest.update(freqs.astype("<i4").tobytes())
    return digest.hexdigest()


def stepped_digest(model: Model, photos: Sequence[Maps]) -> str:
    """Returns the SHA-256 of all frequencies, computed step by step."""
    digest = hashlib.sha256()
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
        for of_tile in logits:
            digest.update(freqs_from_logits(np.stack(of_tile)).astype("<i4").tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def expected(model: Model, photos: list[Maps]) -> str:
    return scored_digest(model, photos)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3, 24])
def test_stepped_and_batched(model: Model, photos: list[Maps], expected: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_coding, "SCORED_TILES", batch)
    monkeypatch.setattr(streams, "WALKED_TILES", batch)
    few = photos if batch == 24 else photos[-1:]
    assert scored_digest(model, photos) == expected
    assert stepped_digest(model, few) == (expected if few is photos else scored_digest(model, few))


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
        assert encode_natively(native, indices, earlier, threads=threads) == expected
        decoded = decode_natively(native, expected, sizes, earlier, threads=threads)
        assert all(result.error is None and np.array_equal(result.indices, codes) for result, codes in zip(decoded, indices, strict=True))


_PROGRAM = """
import sys
import numpy as np
import torch
sys.path.insert(0, {root!r})
torch.set_num_threads({threads})
torch.backends.mkldnn.set_flags({onednn})
from tests.property.test_exactness import scored_digest
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL
arrays = np.load({maps!r})
print(scored_digest(load_model(DEFAULT_MODEL, device="cpu"), [[arrays[f"{{n}}_0"], arrays[f"{{n}}_1"]] for n in range({count})]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threads", "capability", "onednn"),
    [(4, "", True), (1, "default", True), (2, "avx2", True), (1, "avx512", True), (1, "", False)],
)
def test_threads_instruction_sets_and_libraries(
    photos: list[Maps], expected: str, tmp_path: Path, threads: int, capability: str, onednn: bool
) -> None:
    if capability.upper() == "AVX512" != torch.backends.cpu.get_cpu_capability():
        pytest.skip("this processor has no AVX-512")
    np.savez(tmp_path / "maps.npz", **{f"{n}_{number}": maps[number] for n, maps in enumerate(photos) for number in range(NUM_MAPS)})
    root = str(Path(__file__).parents[2])
    program = _PROGRAM.format(root=root, threads=threads, onednn=onednn, maps=str(tmp_path / "maps.npz"), count=len(photos))
    environment = {**os.environ, **({"ATEN_CPU_CAPABILITY": capability} if capability else {})}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


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
