"""Golden data of fractional differencing from scipy in float64, written to fracdiff.safetensors beside this file and read by
tests/tensor/golden_ops_test.cpp.

    python tests/golden/make_fracdiff.py        (needs scipy, numpy and safetensors; the tests need none of them)

The weights are (-1)^k binomial(d, k) from scipy.special, not the recurrence of the kernels; the filter is a product with the
banded Toeplitz matrix, its gradient one with the transpose. Names of tensors as in make_ops.py; params is d, floor, window.
"""
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
import scipy
import scipy.linalg
import scipy.special

SEED = 21
random = np.random.default_rng(SEED)
tensors = {}

for i, (series, length, d, floor, window) in enumerate([
        (1, 1, 0.5, 0, 0), (3, 7, 0.5, 0, 0), (2, 33, 0.3, 1e-2, 0), (1, 400, 0.5, 1e-3, 0), (2, 129, 0.9, 0, 20),
        (1, 100, 1.6, 0, 0), (2, 65, -0.3, 0, 0), (1, 50, 1, 0, 0), (1, 50, 2, 0, 0)]):
    k = np.arange(length)
    weights = (-1.0) ** k * scipy.special.binom(d, k)
    if floor:
        weights[np.argmax(np.abs(weights) <= floor):] = 0
    if window:
        weights[window:] = 0
    matrix = scipy.linalg.toeplitz(weights, np.zeros(length))
    x = np.cumsum(random.standard_normal((series, length)), axis=1).astype(np.float32)  # a random walk, as prices are
    dy = random.standard_normal((series, length)).astype(np.float32)
    case = f"fracdiff/{i}"
    tensors[f"{case}/params"] = np.array([d, floor, window], dtype=np.float64)
    tensors[f"{case}/x"], tensors[f"{case}/dy"] = x, dy
    tensors[f"{case}/y"] = x.astype(np.float64) @ matrix.T
    tensors[f"{case}/dx"] = dy.astype(np.float64) @ matrix

path = pathlib.Path(__file__).with_name("fracdiff.safetensors")
safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path,
                            {"made": f"tests/golden/make_fracdiff.py, seed {SEED}, scipy {scipy.__version__}, "
                                     f"numpy {np.__version__}, safetensors {safetensors.__version__}"})
print(f"{path}: {len(tensors)} tensors, {path.stat().st_size} bytes")
