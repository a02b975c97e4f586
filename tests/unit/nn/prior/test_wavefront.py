"""Priors are exact: one pass and steps, any batch, any thread count, any packing give the same bits; and nothing looks ahead."""

import copy
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.conftest import random_prior, torch_with
from vqcodec.format.octaves import LOGIT_BITS
from vqcodec.nn.configs import PriorConfig
from vqcodec.nn.prior.fixed_layers import TapConv, has_int8_products
from vqcodec.nn.prior.fixed_point import Arithmetic
from vqcodec.nn.prior.native import NativePrior, has_native_priors
from vqcodec.nn.prior.pixelsnail import PixelSnail
from vqcodec.nn.prior.plan import plan_of
from vqcodec.nn.prior.skewing import skew, unskew
from vqcodec.nn.prior.wavefront import Wavefront

CONFIGS = {
    "top": PriorConfig(codebook_size=64, channels=24, blocks=3, embedding_dim=12, heads=3, head_dim=8),
    "top, slope 2": PriorConfig(codebook_size=64, channels=24, blocks=3, columns=3, embedding_dim=12, heads=2, head_dim=8, slope=2),
    "bottom": PriorConfig(codebook_size=64, channels=24, blocks=3, embedding_dim=12, condition_channels=16, earlier_maps=1),
    "refine_1": PriorConfig(
        codebook_size=64, channels=24, blocks=2, embedding_dim=12, condition_channels=16, condition_blocks=(1, 1), earlier_maps=2, slope=2
    ),
}
N, H, W = 6, 10, 8


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def prior(request: pytest.FixtureRequest) -> PixelSnail:
    torch.manual_seed(0)
    prior = random_prior(request.param)
    prior.load_integers(prior.integers())
    return prior


def tile_shapes(n: int) -> tuple[tuple[int, int], ...]:
    """Returns height and width of each tile: two are smaller than the others."""
    return tuple({1: (6, W), 2: (H, 2)}.get(tile, (H, W)) for tile in range(n))


def make_tiles(prior: PixelSnail, n: int = N) -> tuple[Tensor, list[Tensor], Tensor]:
    """Returns codes, maps before, and which places hold codes."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(n, H // 2, W // 2)] + [(n, H, W)] * 2
    earlier = [torch.randint(64, shape, generator=generator) for shape in shapes[: prior.config.earlier_maps]]
    valid = torch.zeros(n, H, W, dtype=torch.bool)
    for tile, (height, width) in zip(valid, tile_shapes(n), strict=True):
        tile[:height, :width] = True
    return torch.randint(64, (n, H, W), generator=generator), earlier, valid


def one_pass(prior: PixelSnail, *, n: int = N, side_by_side: int = 1, arithmetic: Arithmetic = Arithmetic.EXACT) -> Tensor:
    indices, earlier, valid = make_tiles(prior, n)
    with torch.inference_mode():
        logits = prior(indices, earlier, arithmetic, valid=valid, side_by_side=side_by_side) * valid[..., None]
    return logits if arithmetic is Arithmetic.EXACT else logits * (1 << LOGIT_BITS)


def stepped(prior: PixelSnail, n: int = N) -> tuple[Tensor, int]:
    """Logits of a walk over the same tiles, and the number of its steps."""
    indices, earlier, _ = make_tiles(prior, n)
    logits = torch.zeros(n, H, W, 64)
    steps = 0
    with torch.inference_mode():
        walk = Wavefront(prior, earlier, plan_of(tile_shapes(n), prior.config.slope, prior.device))
        for tile, row, column in walk:
            logits[tile, row, column] = walk.logits()
            walk.push(indices[tile, row, column])
            steps += 1
    return logits, steps


def test_skewing_shifts_rows_and_is_undone() -> None:
    x = torch.arange(1, 25).reshape(1, 3, 8, 1)
    for slope in (1, 2):
        skewed = skew(x, slope)
        assert skewed.shape == (1, 3, 8 + 2 * slope, 1)
        for row in range(3):
            assert torch.equal(skewed[0, row, slope * row : slope * row + 8], x[0, row])
        assert int(skewed.sum()) == int(x.sum())
        assert torch.equal(unskew(skewed, slope, 8), x)


def test_one_pass_and_steps_give_the_same_bits(prior: PixelSnail) -> None:
    logits, steps = stepped(prior)
    assert torch.equal(logits, one_pass(prior))
    assert steps == W + prior.config.slope * (H - 1)
    assert len(logits.unique()) > 100


@pytest.mark.parametrize("n", [1, 3])
def test_batches_of_any_size_give_the_same_bits(prior: PixelSnail, n: int) -> None:
    indices, earlier, valid = make_tiles(prior)
    with torch.inference_mode():
        parts = [
            prior(indices[i : i + n], [codes[i : i + n] for codes in earlier], Arithmetic.EXACT, valid=valid[i : i + n])
            for i in range(0, N, n)
        ]
    assert torch.equal(torch.cat(parts) * valid[..., None], one_pass(prior))


@pytest.mark.parametrize("side_by_side", [2, 3, 6])
def test_tiles_side_by_side_do_not_see_each_other(prior: PixelSnail, side_by_side: int) -> None:
    assert torch.equal(one_pass(prior, side_by_side=side_by_side), one_pass(prior))


def test_training_in_fixed_point_computes_the_same_numbers(prior: PixelSnail) -> None:
    assert torch.equal(one_pass(prior, arithmetic=Arithmetic.TRAINED), one_pass(prior))


@pytest.mark.skipif(not has_int8_products(), reason="int8 products are slow or wrong on this CPU, so they are never used")
def test_int8_and_float32_products_give_the_same_bits(prior: PixelSnail, monkeypatch: pytest.MonkeyPatch) -> None:
    by_int8 = one_pass(prior), stepped(prior)[0]
    assert prior.first.exact_weight.dtype is torch.int8
    monkeypatch.setattr("vqcodec.nn.prior.fixed_layers.has_int8_products", lambda: False)
    other = PixelSnail(prior.config).eval().requires_grad_(False)
    other.load_integers(prior.integers())
    assert all(torch.equal(a, b) for a, b in zip(by_int8, (one_pass(other), stepped(other)[0]), strict=True))
    assert other.first.exact_weight.dtype is torch.float32


def test_changed_parameters_are_seen_by_exact_products(prior: PixelSnail) -> None:
    before = one_pass(prior)
    prior.head.weight.mul_(0.5)
    assert not torch.equal(one_pass(prior), before)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("head.weight", lambda values: values > 0, "head.weight is torch.bool"),
        ("head.weight", lambda values: torch.full_like(values, -128), r"head.weight has values of -128..-128, expected -127..127"),
        ("head.weight_bits", lambda values: values[:, None], r"head.weight_bits is torch.int8 of shape .* of one dimension"),
        ("head.weight_bits", torch.zeros_like, r"head.weight_bits has values of 0..0, expected 3..12"),
        ("head.bias", lambda values: torch.full_like(values, 1024), r"head.bias has values of 1024..1024, expected -1023..1023"),
        ("first.bias", lambda values: values.half(), r"first.bias is torch.float16"),
    ],
)
def test_integers_in_other_formats_are_refused(
    prior: PixelSnail, name: str, change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    """The kernels refuse them, too, so that no machine takes them."""
    integers = prior.integers()
    with pytest.raises(ValueError, match=message):
        prior.load_integers(integers | {name: change(integers[name])})
    if not has_native_priors():
        return
    arrays = {key: values.numpy() for key, values in integers.items()}
    with pytest.raises(ValueError, match=name):
        NativePrior(prior.config, arrays | {name: change(integers[name]).numpy()})


def test_integers_are_all_there_is(prior: PixelSnail) -> None:
    exported = prior.integers()
    assert {value.dtype for value in exported.values()} <= {torch.int8, torch.int16}
    other = PixelSnail(prior.config).eval().requires_grad_(False)
    other.load_integers(exported)
    assert torch.equal(one_pass(other), one_pass(prior))
    heavy = copy.deepcopy(prior)
    heavy.blocks[0].conv = TapConv(1200, 48, 1, (-1, 0))
    torch.nn.init.ones_(heavy.blocks[0].conv.weight)
    with pytest.raises(ValueError, match="could exceed"):
        heavy.integers()


def changes(prior: PixelSnail, level: int, place: tuple[int, int]) -> Tensor:
    """Returns [H, W] bool, true where logits change when the code at `place` of map `level` does; the prior's own map is the last."""
    indices, earlier, _ = make_tiles(prior, 1)
    before = prior(indices, earlier, Arithmetic.EXACT)
    maps = [*earlier, indices]
    maps[level] = maps[level].clone()
    maps[level][(0, *place)] = (maps[level][(0, *place)] + 7) % 64
    *earlier, indices = maps
    return (prior(indices, earlier, Arithmetic.EXACT) != before).any(dim=-1)[0]


def looks_ahead(prior: PixelSnail) -> bool:
    """Returns whether a change at some code reaches a logit of the same step or an earlier one."""
    steps = torch.arange(W)[None] + prior.config.slope * torch.arange(H)[:, None]
    for place in [(0, 0), (4, 3), (0, W - 1), (H - 1, 2)]:
        changed = changes(prior, -1, place)
        if (changed & (steps <= steps[place])).any():
            return True
        assert changed.any() or place == (H - 1, W - 1)
    return False


def test_no_logit_depends_on_its_own_step_or_a_later_one(prior: PixelSnail) -> None:
    assert not looks_ahead(prior)


def test_an_off_by_one_in_the_order_would_be_caught(prior: PixelSnail, monkeypatch: pytest.MonkeyPatch) -> None:
    mutated = copy.deepcopy(prior)
    mutated.first.first, mutated.first.last = -2, 0
    assert looks_ahead(mutated)
    mutated = copy.deepcopy(prior)
    mutated.blocks[1].conv.first += 1
    mutated.blocks[1].conv.last += 1
    assert looks_ahead(mutated)


def test_attention_sees_far_and_the_condition_sees_all_sides(prior: PixelSnail) -> None:
    if prior.attention is not None:
        assert changes(prior, -1, (0, 0))[-1, -1]
    if prior.condition is not None:
        changed = changes(prior, 0, (2, 2))
        assert changed[4:6, 4:6].all() and changed[2:4].any() and changed[6:8].any()


_PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.unit.nn.prior.test_wavefront import digests_here
print(*digests_here(threads={threads}, onednn={onednn}))
"""


def digests_here(*, threads: int, onednn: bool) -> tuple[str, str]:
    """Digests of all logits, exact and real, computed by the present process."""
    digest, real = hashlib.sha256(), hashlib.sha256()
    with torch_with(threads=threads, onednn=onednn):
        for config in CONFIGS.values():
            torch.manual_seed(0)
            prior = random_prior(config)
            real.update(one_pass(prior, arithmetic=Arithmetic.REAL).numpy().tobytes())
            prior.load_integers(prior.integers())
            digest.update(one_pass(prior).numpy().tobytes() + stepped(prior)[0].numpy().tobytes())
    return digest.hexdigest(), real.hexdigest()


def digests(*, threads: int = 1, capability: str = "", onednn: bool = True) -> tuple[str, str]:
    """The same with a set of instructions; with another one than here by a process of its own, since torch chooses it when it is loaded."""
    if capability.upper() in ("", torch.backends.cpu.get_cpu_capability()):
        return digests_here(threads=threads, onednn=onednn)
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    program = _PROGRAM.format(root=str(Path(__file__).parents[4]), threads=threads, onednn=onednn)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    exact, real = done.stdout.split()
    return exact, real


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_threads_instruction_sets_and_libraries_give_the_same_bits() -> None:
    runs = [
        digests(threads=4),
        digests(capability="default"),
        digests(capability="avx2", threads=2),
        digests(onednn=False),
    ]
    assert len({exact for exact, _ in runs}) == 1
    assert len({real for _, real in runs}) > 1, "real numbers never differed: this check could not fail"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_bits(prior: PixelSnail) -> None:
    indices, earlier, valid = make_tiles(prior)
    on_gpu = copy.deepcopy(prior).cuda()
    with torch.inference_mode():
        logits = on_gpu(indices.cuda(), [codes.cuda() for codes in earlier], Arithmetic.EXACT, valid=valid.cuda())
    assert torch.equal(logits.cpu() * valid[..., None], one_pass(prior))
