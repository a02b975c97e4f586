"""Small files of large pictures: what the smallest files cost that ask for the most pixels."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.processes import measure_process
from tests.fuzz.files import assemble
from tests.reject_cases import Samples
from vqcodec.coding.tint import ColourLayer, grid_size
from vqcodec.format.chunks import Chunk
from vqcodec.format.container import CoderKind, ColourMode, crc16, map_size
from vqcodec.format.layers import Layers, Patch, write_layers
from vqcodec.images.webp import encode_webp
from vqcodec.models.model import load_model
from vqcodec.models.registry import DEFAULT_MODEL

_PROGRAM: Final = """
import sys, warnings
warnings.simplefilter("ignore")
import vqcodec
data = open(sys.argv[1], "rb").read()
try:
    image = vqcodec.decode(data, device="cpu")
    outcome = f"{image.width}x{image.height}"
except vqcodec.VqcodecError as error:
    outcome = type(error).__name__
print(outcome)
"""


@dataclass(frozen=True)
class Cost:
    """What decoding a file in a process of its own cost.

    Attributes:
        outcome: size of the picture, or name of the error.
        seconds: CPU seconds, with the start of Python and of torch.
        peak_mib: peak memory of the process in MiB.
    """

    outcome: str
    seconds: float
    peak_mib: int


def large_files(width: int, height: int) -> dict[str, bytes]:
    """Returns the smallest file of each kind of a picture of width x height pixels, all of whose codes are 0."""
    samples = Samples(load_model(DEFAULT_MODEL, device="cpu"))
    flat = np.zeros((height, width, 3), np.uint8)
    bitstream = encode_webp(flat)
    patch = write_layers(Layers((Patch(0, 0, width * height, bitstream),)))
    tint = Chunk(b"TINT", ColourLayer(4, 1, np.zeros((*grid_size(width, height, 4), 3), np.int64)).body)
    return {
        "one map": _file(samples, flat, 1),
        "four maps": _file(samples, flat, 4),
        "one map and a colour layer": _file(samples, flat, 1, layers=(tint,)),
        "one map and alpha": _file(samples, flat, 1, metadata=(Chunk(b"ALPH", bitstream),)),
        "an exact patch": _file(samples, flat, 1, layers=patch),
        "AVIF": _file(samples, flat, 1, layers=(Chunk(b"AVIF", _avif(flat)),)),
    }


def _file(
    samples: Samples, flat: NDArray[np.uint8], num_maps: int, *, layers: Sequence[Chunk] = (), metadata: Sequence[Chunk] = ()
) -> bytes:
    header, (height, width) = samples.plain.header, flat.shape[:2]
    sizes = [map_size(width, height, number) for number in range(num_maps)]
    maps = tuple(replace(header.maps[0], coder=CoderKind.STATIC, index_crc=crc16(bytes(2 * h * w))) for h, w in sizes)
    mode = ColourMode.RGBA if metadata else ColourMode.RGB
    changed = replace(header, width=width, height=height, maps=maps, mode=mode)
    container = replace(samples.plain, header=changed, payloads=(b"",) * num_maps, layers=tuple(layers), metadata=tuple(metadata))
    return assemble(container)


def _avif(flat: NDArray[np.uint8]) -> bytes:
    out = BytesIO()
    Image.fromarray(flat).save(out, "AVIF", quality=1, speed=10)
    return out.getvalue()


def cost_of(data: bytes) -> Cost:
    """Decodes a file in a process of its own by the default model and the default limits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.vq"
        path.write_bytes(data)
        measured = measure_process([sys.executable, "-c", _PROGRAM, str(path)])
    return Cost(measured.printed.strip(), measured.cpu_seconds, round(measured.peak_mib))


def measure_large(width: int, height: int, tell: Callable[[str], object]) -> None:
    """Measures every kind of large file, and tells a row of a table for each."""
    tell("| file | bytes | ends in | CPU seconds | peak memory in MiB |")
    tell("|---|---|---|---|---|")
    for name, data in large_files(width, height).items():
        cost = cost_of(data)
        tell(f"| {name} | {len(data)} | {cost.outcome} | {cost.seconds:.1f} | {cost.peak_mib} |")
