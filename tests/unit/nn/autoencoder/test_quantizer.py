"""Checks the quantisers against their formulas."""

import copy

import pytest
import torch
from torch import Tensor

from vqcodec.nn.autoencoder import quantizer as quantizer_module
from vqcodec.nn.autoencoder.map_counts import MapCounts
from vqcodec.nn.autoencoder.quantizer import VectorQuantizer, straight_through
from vqcodec.nn.autoencoder.residual_quantizer import ResidualQuantizer
from vqcodec.nn.configs import CodebookUpdate


def random_z_e(seed: int = 0, dim: int = 3) -> Tensor:
    return torch.randn(2, dim, 4, 5, generator=torch.Generator().manual_seed(seed))


def test_nearest_is_the_nearest() -> None:
    quantizer = VectorQuantizer(7, 3)
    z_e = random_z_e()
    indices = quantizer.nearest(z_e)
    for n, row, column in [(0, 0, 0), (1, 2, 4), (0, 3, 1)]:
        distances = (quantizer.codebook - z_e[n, :, row, column]).square().sum(dim=1)
        assert indices[n, row, column] == distances.argmin()
    assert torch.equal(quantizer.lookup(indices)[1, :, 2, 4], quantizer.codebook[indices[1, 2, 4]])


def test_straight_through_has_the_value_of_z_q_and_the_gradient_of_z_e() -> None:
    z_e = random_z_e().requires_grad_()
    z_q = torch.full_like(z_e, 0.5)
    out = straight_through(z_e, z_q)
    assert torch.allclose(out, z_q)
    (out * 3).sum().backward()
    assert z_e.grad is not None and torch.equal(z_e.grad, torch.full_like(z_e, 3.0))


def test_ema_update_follows_its_formula() -> None:
    quantizer = VectorQuantizer(4, 3, ema_decay=0.9).train()
    count, total = quantizer.ema_count.clone(), quantizer.ema_sum.clone()
    z_e = random_z_e()
    indices = quantizer(z_e).indices
    vectors = z_e.permute(0, 2, 3, 1)
    for code in range(4):
        assigned = vectors[indices == code]
        new_count = 0.9 * count[code] + 0.1 * len(assigned)
        new_sum = 0.9 * total[code] + 0.1 * assigned.sum(dim=0)
        assert torch.allclose(quantizer.codebook[code], new_sum / new_count, atol=1e-5)


def test_ema_codebook_is_still_in_evaluation() -> None:
    quantizer = VectorQuantizer(4, 3).eval()
    before = quantizer.codebook.clone()
    quantizer(random_z_e())
    assert torch.equal(quantizer.codebook, before)


def test_loss_codebook_follows_the_gradient_of_its_loss() -> None:
    quantizer = VectorQuantizer(4, 3, codebook_update="loss").train()
    z_e = random_z_e().requires_grad_()
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=1.0)
    first = quantizer(z_e).codebook_loss
    first.backward()
    assert z_e.grad is None, "the codebook loss must not move the encoder"
    optimizer.step()
    assert quantizer(z_e).codebook_loss < first


def test_perplexity_of_one_code_and_of_equal_use() -> None:
    quantizer = VectorQuantizer(2, 1).eval()
    quantizer.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    assert float(quantizer(torch.ones(1, 1, 2, 2)).perplexity) == pytest.approx(1.0)
    mixed = torch.tensor([[[[-1.0, 1.0], [1.0, -1.0]]]])
    assert float(quantizer(mixed).perplexity) == pytest.approx(2.0)


def test_each_stage_of_a_residual_quantizer_comes_nearer() -> None:
    quantizer = ResidualQuantizer(3, 8, 3).eval()
    z_e = random_z_e(1)
    quantizer.init_from_data(random_z_e(1), torch.Generator().manual_seed(0))
    results = quantizer(z_e)
    errors = [float((z_e - result.z_q).square().mean()) for result in results]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.5 * errors[0]
    indices = quantizer.quantize(z_e)
    for number, result in enumerate(results):
        assert torch.equal(indices[number], result.indices)
        assert torch.allclose(quantizer.lookup(indices[: number + 1]), result.z_q, atol=1e-6)


def test_lloyd_start_finds_clusters() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    generator = torch.Generator().manual_seed(3)
    points = centres.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=generator)
    quantizer = VectorQuantizer(4, 2)
    quantizer.init_from_data(points.t()[None, :, None, :], torch.Generator().manual_seed(1))
    errors = (points[:, None] - quantizer.codebook).square().sum(dim=2).amin(dim=1)
    assert float(errors.mean()) < 30
    with pytest.raises(ValueError, match="3 vectors"):
        quantizer.init_from_data(points[:3].t()[None, :, None, :], generator)


def test_dead_codes_move_onto_data_and_living_ones_stay() -> None:
    quantizer = VectorQuantizer(4, 3)
    quantizer.ema_count.copy_(torch.tensor([5.0, 0.0, 5.0, 0.01]))
    before = quantizer.codebook.clone()
    z_e = random_z_e(2)
    assert quantizer.reset_dead_codes(z_e, torch.tensor(0.1), torch.Generator().manual_seed(0)) == 2
    vectors = z_e.permute(0, 2, 3, 1).reshape(-1, 3)
    for code in (1, 3):
        assert (vectors == quantizer.codebook[code]).all(dim=1).any()
    assert torch.equal(quantizer.codebook[[0, 2]], before[[0, 2]])
    assert quantizer.reset_dead_codes(z_e, torch.tensor(0.1), torch.Generator().manual_seed(0)) == 0


@pytest.mark.parametrize(("kwargs", "message"), [({"codebook_update": "sgd"}, "sgd"), ({"ema_decay": 1.0}, "1.0")])
def test_bad_arguments(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorQuantizer(4, 3, **kwargs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_stages"):
        ResidualQuantizer(0, 4, 3)


@pytest.mark.parametrize("at_a_time", [1, 70, 1 << 14])
def test_the_cheapest_codes(monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    monkeypatch.setattr(quantizer_module, "_NEAREST_VECTORS", (at_a_time, at_a_time))
    generator = torch.Generator().manual_seed(0)
    quantizer = VectorQuantizer(16, 4)
    z_e, weights = torch.randn(5, 4, 6, 7, generator=generator), torch.tensor([0.0, 0.1, 0.5, 2.0, 1e6])
    distances = (z_e.permute(0, 2, 3, 1)[..., None, :] - quantizer.codebook).square().sum(dim=-1)
    for costs in (torch.rand(5, 6, 7, 16, generator=generator), torch.rand(1, 1, 1, 16, generator=generator)):
        expected = (distances + weights[:, None, None, None] * costs).argmin(dim=3)
        assert torch.equal(quantizer.cheapest(z_e, costs, weights), expected)
        assert torch.equal(expected[0], quantizer.nearest(z_e)[0]) and torch.equal(expected[4], costs.argmin(dim=3).expand(5, 6, 7)[4])


def test_half_precision_around_it_does_not_change_the_nearest_codes() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(256, 8)
    z_e = torch.randn(1, 8, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(
            quantizer.nearest(z_e), torch.cdist(z_e.flatten(2).transpose(1, 2), quantizer.codebook).argmin(2).view(1, 64, 64)
        )


@pytest.mark.parametrize("codebook_update", ["ema", "loss"])
def test_stages_learn_from_the_images_counted_alone(codebook_update: CodebookUpdate) -> None:
    z_e = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    chain = ResidualQuantizer(2, 8, 4, codebook_update=codebook_update)
    of_all, fed_with_one = copy.deepcopy(chain)(z_e), copy.deepcopy(chain.stage(1))
    one = fed_with_one(z_e[1:2] - of_all[0].z_q[1:2].detach())
    results = chain(z_e, counts=MapCounts.of([1, 2, 1], 2, z_e.device))
    assert torch.equal(results[1].z_q, of_all[1].z_q), "what is quantised does not depend on it"
    assert torch.equal(results[1].perplexity, one.perplexity) and torch.allclose(results[1].codebook_loss, one.codebook_loss)
    assert all(torch.allclose(value, fed_with_one.state_dict()[key]) for key, value in chain.stage(1).state_dict().items())
    assert torch.allclose(results[1].commitment(z_e), (z_e[1] - results[1].z_q[1]).square().mean())
    assert torch.allclose(results[0].commitment(z_e), of_all[0].commitment(z_e))

    before = copy.deepcopy(chain.stage(1).state_dict())
    nothing = chain(z_e, counts=MapCounts.of([1, 1, 1], 2, z_e.device))
    assert float(nothing[1].commitment(z_e)) == 0 and float(nothing[1].codebook_loss) == 0
    if codebook_update == "ema":
        assert all(torch.equal(value, before[key]) for key, value in chain.stage(1).state_dict().items())
