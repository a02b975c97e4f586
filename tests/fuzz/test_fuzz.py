"""Replays what fuzzing has found, and runs 2,000 new inputs: each ends in a result or in a `VqcodecError`."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vqcodec
from tests.fuzz.files import assemble, mend
from tests.fuzz.flips import count_flips, small_files
from tests.fuzz.large import cost_of, large_files
from tests.fuzz.mutations import mutated_payload
from tests.fuzz.property import OPENED, BrokenPropertyError, outcome_of
from tests.fuzz.run import Report, make_input, run_inputs, save_failures, schedule
from tests.fuzz.targets import TARGETS, corpus, inputs_to_mutate, plain_files
from tests.golden.generate import FOLDER
from vqcodec.format.container import read_container

NUM_INPUTS = 2000
MIN_OUTCOMES = {
    "container": {"opened", "FormatError", "TruncatedError", "DesyncError", "UnknownModelError", "WeightsMismatchError", "BadMagicError"},
    "metadata": {"opened", "FormatError", "DesyncError"},
    "layers": {"opened", "FormatError", "TruncatedError", "LimitExceededError", "DesyncError"},
    "streams": {"opened", "FormatError", "DesyncError"},
    "regions": {"opened", "FormatError", "DesyncError"},
    "configs": {"ModelError"},
    "weights": {"opened", "ModelError"},
    "pictures": {"opened", "ImageError"},
}
"""Outcomes without which the mutations would not reach what they are for."""


@pytest.fixture(autouse=True)
def golden_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    """Each file is run as it is, and with the checksums and the version of today's format."""
    for path in corpus(name):
        data = path.read_bytes()
        assert path.stem.count("-") >= 1, "a name says what is wrong with the file"
        outcome_of(TARGETS[name].run, data)
        if path.suffix == ".vq":
            outcome_of(TARGETS[name].run, mend(data))


def test_2000_new_inputs(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The inputs follow from a seed, so that what fails can be repeated. Only libtiff prints what it thinks of them."""
    report = run_inputs(20260101, range(NUM_INPUTS))
    assert not report.failures, [(name, number, message) for name, number, message, _ in report.failures]
    assert report.num_inputs == NUM_INPUTS
    for name, counts in report.outcomes.items():
        assert MIN_OUTCOMES[name] <= counts.keys(), (name, counts)
        assert counts[OPENED] < counts.total() / 2
    out, err = capfd.readouterr()
    assert out == "" and all("tif" in line.lower() for line in err.splitlines()), err


def test_every_seed_opens() -> None:
    for target in TARGETS.values():
        for data in target.seeds():
            assert outcome_of(target.run, data).name == OPENED


def test_inputs_follow_from_their_numbers() -> None:
    sources = inputs_to_mutate("streams")
    first, again, other = (make_input(3, number, "streams", sources) for number in (5, 5, 6))
    assert first == again != other
    turns = schedule()
    assert Counter(turns) == {name: target.share for name, target in TARGETS.items()}


def test_mending_gives_the_file_itself() -> None:
    for name in ("container", "metadata", "layers", "streams", "regions"):
        for data in TARGETS[name].seeds():
            assert mend(data) == data
            broken = bytearray(data)
            broken[-1] ^= 1
            assert outcome_of(TARGETS[name].run, bytes(broken)).name in ("ChecksumMismatchError", "DesyncError")


@pytest.mark.parametrize(("error", "message"), [(KeyError("x"), "KeyError"), (vqcodec.VqcodecError("two\nlines"), "expected one line")])
def test_other_errors_break_the_property(error: Exception, message: str) -> None:
    def run(data: bytes) -> None:
        raise error

    with pytest.raises(BrokenPropertyError, match=message):
        outcome_of(run, b"")


def test_too_much_memory_or_time_breaks_the_property(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.property.MAX_SECONDS", -1.0)
    with pytest.raises(BrokenPropertyError, match="CPU seconds"):
        outcome_of(len, b"")
    monkeypatch.undo()
    monkeypatch.setattr("tests.fuzz.property.MAX_BYTES", -1)
    with pytest.raises(BrokenPropertyError, match="MiB more"):
        outcome_of(len, b"")


def test_failures_are_saved(tmp_path: Path) -> None:
    (path,) = save_failures(Report(failures=[("streams", 3, "KeyError", b"data")]), tmp_path)
    assert path.parent == tmp_path / "streams" and path.read_bytes() == b"data"


def test_flips_are_refused() -> None:
    """Every 37th bit of each of eleven files; `python -m tests.fuzz flips` takes all of them."""
    for name, data in small_files().items():
        counts = count_flips(data, step=37)
        assert counts.total() > 5 and counts[OPENED] == 0, name


def test_payloads_of_other_codes_are_refused() -> None:
    """The checksum of the codes finds what the coders take for a payload."""
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        container = read_container(plain_files()[number % 6])
        data = assemble(mutated_payload(rng, container))
        try:
            opened = vqcodec.decode_indices(data)
        except vqcodec.VqcodecError:
            refused += 1
        else:
            assert all(map(np.array_equal, opened, vqcodec.decode_indices(assemble(container)))), number
    assert refused > 130


def test_small_files_of_large_pictures_decode() -> None:
    """They are measured by `python -m tests.fuzz large`; here they are not large, and one is run as it is there."""
    files = large_files(50, 30)
    assert all(vqcodec.decode(data, device="cpu").size == (50, 30) for data in files.values())
    cost = cost_of(files["an exact patch"])
    assert cost.outcome == "50x30" and cost.seconds > 0 and cost.peak_mib > 50


def test_corpus_is_small() -> None:
    assert sum(path.stat().st_size for name in TARGETS for path in corpus(name)) < 200_000
