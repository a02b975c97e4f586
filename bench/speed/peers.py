"""Prints the seconds that CompressAI's models take to encode and to decode one picture, as JSON lines.

This script runs in an environment of its own (`peers_env.sh`):

    python peers.py PHOTO THREADS REPEATS MODEL...

Weights are untrained, since the context model walks every latent whatever they are.
"""

import json
import sys
import time
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

for _name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
    # Only CompressAI's data sets use it, and installing it would replace torch by a build for CUDA.
    sys.modules[_name] = MagicMock(__path__=[], __spec__=ModuleSpec(_name, None))

import compressai  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from compressai.zoo import models  # noqa: E402
from PIL import Image  # noqa: E402


def main(photo: str, threads: int, repeats: int, names: list[str]) -> None:
    """Times each model on a photo, with so many threads and repeats."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    pixels = np.asarray(Image.open(photo).convert("RGB"))
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    for name in names:
        network = models[name](quality=4, pretrained=False).eval()
        network.update(force=True)
        encode_s, decode_s = [], []
        with torch.inference_mode():
            for _ in range(repeats):
                started = time.perf_counter()
                coded = network.compress(x)
                encoded = time.perf_counter()
                network.decompress(coded["strings"], coded["shape"])
                decode_s.append(time.perf_counter() - encoded)
                encode_s.append(encoded - started)
        version = compressai.__version__
        about = {"model": name, "compressai": version, "torch": torch.__version__}
        print(json.dumps({**about, "encode_s": encode_s, "decode_s": decode_s}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
