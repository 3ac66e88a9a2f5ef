#!/bin/sh
# Graft beside PyTorch, interleaved in one run. PyTorch lives in an environment of its own and is needed by nothing else.
set -eu
cd "$(dirname "$0")/.."
python=${GRAFT_PYTORCH:-build/pytorch/bin/python}
if ! [ -x "$python" ]; then
  python3 -m venv build/pytorch
  build/pytorch/bin/pip install -q torch numpy
fi
exec "$python" bench/baselines/pytorch_step.py --graft build/release/bin/graft "$@"
