"""Every case of FORMAT.md, section 11, is raised by a file."""

import re
from pathlib import Path

import pytest
from numpy.typing import NDArray

import vqcodec
from tests import conftest
from tests.fuzz.files import assemble
from tests.golden.generate import FOLDER, MODEL
from tests.reject_cases import CASES, CASES_OF_SMALL_MODELS, Samples
from vqcodec.datasets.reading import CodeReader
from vqcodec.errors import FormatError
from vqcodec.models.model import load_model
from vqcodec.nn.configs import VQVAEConfig

FORMAT = (Path(__file__).parents[1] / "FORMAT.md").read_text(encoding="utf-8")


def named_cases() -> dict[str, str]:
    """Returns the error of each case by the table."""
    return dict(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| (\w+) \|$", FORMAT.split("## 11. What is refused")[1], re.MULTILINE))


def check(data: bytes, error: str) -> None:
    """Checks that a file raises exactly this error, in one line."""
    with pytest.raises(vqcodec.VqcodecError) as caught:
        vqcodec.decode(data, device="cpu")
    assert type(caught.value).__name__ == error, caught.value
    assert str(caught.value) and "\n" not in str(caught.value)
    (codes,) = CodeReader(pixels=True).read([data])
    assert type(codes.error).__name__ == error, codes.error


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples(load_model(MODEL, device="cpu"))


def test_the_table_and_the_cases_agree() -> None:
    assert named_cases() == {name: error for name, (error, _) in {**CASES, **CASES_OF_SMALL_MODELS}.items()}


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))
    error, make = CASES[name]
    check(make(samples), error)


@pytest.mark.parametrize("name", ["sums-of-other-groups", "group-damaged", "group-of-other-codes"])
def test_data_sets_check_the_checksums_of_tile_groups(name: str, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))
    error, make = CASES[name]
    (codes,) = CodeReader().read([make(samples)])
    assert type(codes.error).__name__ == error


def test_the_files_are_intact_but_for_their_case(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VQCODEC_MODELS", str(FOLDER))
    intact = [assemble(samples.plain), assemble(samples.metadata), samples.with_fields(), samples.patched(samples.patch)]
    for data in (*intact, samples.tinted(), samples.summed(), samples.avif(), samples.told()):
        vqcodec.decode(data, device="cpu")


def test_cases_of_small_models(photo: NDArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "SMALL", small := VQVAEConfig(**{**vars(conftest.SMALL), "codebook_size": 12}))
    monkeypatch.setattr(conftest, "SMALL_PRIORS", [])
    conftest.make_model(tmp_path / "twelve", conftest.make_small_network(photo), number=1002)
    monkeypatch.setenv("VQCODEC_MODELS", str(tmp_path))
    model = load_model(tmp_path / "twelve", device="cpu")
    assert model.config.network == small and not model.priors
    vqcodec.decode(assemble(Samples(model).plain), device="cpu")
    for error, make in CASES_OF_SMALL_MODELS.values():
        check(make(Samples(model)), error)


def test_errors_of_the_format_are_errors_of_formats_or_models() -> None:
    for name in set(named_cases().values()):
        assert issubclass(getattr(vqcodec.errors, name), FormatError | vqcodec.errors.ModelError)
