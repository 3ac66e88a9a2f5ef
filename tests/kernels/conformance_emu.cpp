#include "tests/kernels/conformance.cuh"
