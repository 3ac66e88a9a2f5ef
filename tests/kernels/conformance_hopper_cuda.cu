#include "tests/kernels/conformance_hopper.cuh"
