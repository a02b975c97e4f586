"""A picture for the model card: 16 pictures drawn from the priors, and beside them a real photo and what the codec makes of it."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click
import numpy as np
import skimage.data
from PIL import Image

import vqcodec

COUNT: Final = 16
SIDE: Final = 256
JPEG_QUALITY: Final = 88


def run_samples(model_id: str, temperature: float) -> None:
    """Draws by `vqcodec sample`, all in one batch; writes models/MODEL/samples.jpg."""
    with tempfile.TemporaryDirectory() as folder:
        grid_path = Path(folder) / "grid.png"
        arguments = ["-m", model_id, "-n", str(COUNT), "--size", f"{SIDE}x{SIDE}", "--temperature", str(temperature), "-o", str(grid_path)]
        subprocess.run([sys.executable, "-m", "vqcodec", "sample", *arguments], check=True)
        grid = np.asarray(Image.open(grid_path))
    columns = [grid]
    for photo in (skimage.data.astronaut(), skimage.data.chelsea()):  # type: ignore[no-untyped-call]
        square = photo[:SIDE, photo.shape[1] // 2 - SIDE // 2 :][:, :SIDE]
        pair = [square] + [np.asarray(vqcodec.decode(vqcodec.encode(square, model=model_id, num_maps=count))) for count in (4, 2, 1)]
        columns.append(np.concatenate(pair))
    target = Path(__file__).parent.parent / "models" / model_id / "samples.jpg"
    Image.fromarray(np.concatenate(columns, axis=1)).save(target, quality=JPEG_QUALITY)
    click.echo(f"written to {target}")
