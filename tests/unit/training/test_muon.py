"""Checks that Muon makes orthogonal updates, and updates each parameter by its own."""

import torch

from vqcodec.training.muon import Muon, orthogonalize


def test_orthogonalized_matrices_have_singular_values_near_one() -> None:
    for shape in [(8, 30), (30, 8)]:
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert 0.5 < float(values.min()) and float(values.max()) < 1.4


def test_muon_steps_each_parameter_by_its_own_orthogonal_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((6, 4, 3, 3), (6, 4, 3, 3), (8, 5), (6, 4, 3, 3))]
    for param in params[:3]:
        param.grad = torch.randn(param.shape, generator=generator)
    Muon(params, lr=0.5).step()
    for param in params[:3]:
        assert param.grad is not None
        wanted = -0.5 * max(1.0, param.shape[0] / param.grad.flatten(1).shape[1]) ** 0.5 * orthogonalize(param.grad.flatten(1))
        assert torch.linalg.norm(param.detach().flatten(1) - wanted) < 0.1 * torch.linalg.norm(wanted)
    assert not params[3].any()
