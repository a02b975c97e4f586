#!/usr/bin/env bash
# Makes an environment in which `python -m bench speed --peers DIR/bin/python` times CompressAI.
# Without torchvision, which would replace torch by a build for CUDA; none of the timed code needs it.
set -euo pipefail
dir=${1:?usage: bench/speed/peers_env.sh DIR}
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet torch==2.13.0 numpy pillow scipy einops pytorch-msssim pybind11 setuptools wheel \
    matplotlib pandas requests tomli torch-geometric tqdm
"$dir/bin/pip" install --quiet --no-deps --no-build-isolation compressai==1.2.8
