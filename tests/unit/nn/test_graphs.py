"""Checks that functions give the same as graphs, and which graphs are kept; what a GPU does is feigned where there is none."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vqcodec.nn import graphs


def doubled(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return 2 * x, x + y


def test_on_a_cpu_functions_are_called() -> None:
    outputs = graphs.run("doubled", doubled, [torch.ones(2), torch.ones(2)])
    assert [output.tolist() for output in outputs] == [[2, 2], [2, 2]]


class Captured:
    """A graph that computes with numbers of its own when it is replayed, as a GPU would."""

    count = 0

    def __init__(self, function: graphs.Function, inputs: Any) -> None:
        self.function = function
        type(self).count += 1

    @classmethod
    def of(cls, function: graphs.Function, inputs: Any) -> "Captured":
        if len(inputs[0]) > 4:
            raise torch.OutOfMemoryError("feigned")
        return cls(function, inputs)

    def __call__(self, inputs: Any) -> tuple[Tensor, ...]:
        return self.function(*inputs)


def test_second_calls_are_captured_and_the_graphs_of_the_last_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_Captured", Captured)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    own = graphs._Graphs()
    x = torch.ones(3)
    for calls, count in [(1, 0), (2, 1), (3, 1)]:
        assert own.run("a", doubled, [x, x])[1].tolist() == [2, 2, 2]
        assert Captured.count == count, calls
    for key in range(graphs._KEPT_GRAPHS):
        own.run(key, doubled, [x, x])
        own.run(key, doubled, [x, x])
    assert len(own.kept) == graphs._KEPT_GRAPHS and "a" not in own.kept
    own.run("large", doubled, [torch.ones(5), torch.ones(5)])
    assert own.run("large", doubled, [torch.ones(5), torch.ones(5)])[0].tolist() == [2] * 5 and not own.kept


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_graphs_give_what_functions_do() -> None:
    for number in range(4):
        x, y = torch.full((3,), float(number), device="cuda"), torch.arange(3.0, device="cuda")
        outputs = graphs.run("on CUDA", doubled, [x, y])
        assert all(torch.equal(output, expected) for output, expected in zip(outputs, doubled(x, y), strict=True))
