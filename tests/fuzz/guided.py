"""Fuzzing that is led by coverage: the same targets, mutations and property by atheris (libFuzzer)."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import atheris
import numpy as np

with atheris.instrument_imports(include=["vqcodec"]):
    from tests.fuzz.property import MAX_SECONDS, outcome_of
    from tests.fuzz.targets import CORPUS, TARGETS, inputs_to_mutate, use_golden_model

FOUND: Final = Path("build") / "fuzz"
"""Folder of the inputs that reached new code, by target."""
_MAX_INPUT_BYTES: Final = 1 << 17
_MAX_MIB: Final = 1536
"""Most memory of the process."""


def run_guided(name: str, options: Sequence[str] = ()) -> None:
    """Runs a target until libFuzzer's options end it; the process ends with it.

    Args:
        name: name of the target.
        options: further options of libFuzzer, such as -max_total_time=60.
    """
    target = TARGETS[name]
    use_golden_model()
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs_to_mutate(name)):
        (folder / f"seed-{number}").write_bytes(data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return target.mutate(rng, data or inputs_to_mutate(name)[0])[:max_size]

    def test_one_input(data: bytes) -> None:
        outcome_of(target.run, data)

    limits = [
        f"-max_len={_MAX_INPUT_BYTES}",
        f"-timeout={MAX_SECONDS:.0f}",
        f"-rss_limit_mb={_MAX_MIB}",
        f"-artifact_prefix={folder}/failure-",
    ]
    known = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    atheris.Setup([sys.argv[0], *limits, *options, str(folder), *known], test_one_input, custom_mutator=mutate)
    atheris.Fuzz()
