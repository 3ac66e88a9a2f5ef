"""Golden data of single ops: inputs, outputs and gradients from PyTorch in float64, written to ops.safetensors beside
this file and read by tests/tensor/golden_ops_test.cpp.

    python tests/golden/make_ops.py        (needs torch, numpy and safetensors; the tests need none of them)

Inputs are rounded to float32 and stored so, outputs and gradients in float64. Images are stored as NHWC and filters as
[Cout, kh, kw, Cin / groups]. A tensor is named op/case/what: what is x, weight, .. for inputs, y for the output, dy for
its gradient, dx, dweight, .. for the gradients of the inputs, and params for the numbers that the test passes on.
"""
import itertools
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
import torch
import torch.nn.functional as F

SEED = 20
torch.manual_seed(SEED)
torch.set_default_dtype(torch.float64)
tensors = {}
counts = {}


def normal(*shape):
    return torch.randn(*shape).float().double()


def coarse(*shape):
    """Many equal values: which one a maximum takes shows in the gradient."""
    return torch.randint(-2, 3, shape).double()


def ours(t):
    """NCHW to NHWC, OIHW to OHWI; less than four dimensions stay."""
    return (t.permute(0, 2, 3, 1) if t.dim() == 4 else t).detach().contiguous().numpy().copy()


def store(case, what, t):
    tensors[f"{case}/{what}"] = ours(t) if isinstance(t, torch.Tensor) else np.asarray(t, dtype=np.float64)


def new_case(op):
    i = counts.get(op, 0)
    counts[op] = i + 1
    return f"{op}/{i}"


def record(op, params, inputs, f):
    """inputs: name -> tensor; those of floating type get a gradient. f(x, ..) -> y."""
    case = new_case(op)
    store(case, "params", [float(p) for p in params])
    leaves = {k: v.float().double().requires_grad_() if v.is_floating_point() else v for k, v in inputs.items()}
    y = f(*leaves.values())
    y = y.reshape(1) if y.dim() == 0 else y
    dy = normal(*y.shape)
    y.backward(dy)
    for k, v in leaves.items():
        tensors[f"{case}/{k}"] = ours(v.float() if v.is_floating_point() else v)
        if v.is_floating_point():
            tensors[f"{case}/d{k}"] = ours(v.grad)
    tensors[f"{case}/y"] = ours(y)
    tensors[f"{case}/dy"] = ours(dy.float())


# stride, padding, dilation, groups, Cin, Cout, kernel, H, W, bias
for s, p, d, g, cin, cout, k, h, w, bias in [
    (1, 1, 1, 1, 3, 5, 3, 6, 7, True), (2, 1, 1, 1, 4, 6, 3, 7, 6, True), (2, 0, 1, 2, 4, 6, 3, 9, 8, True),
    (1, 2, 2, 1, 3, 4, 3, 7, 7, False), (3, 2, 2, 2, 6, 8, 3, 11, 10, True), (1, 0, 1, 1, 8, 9, 1, 5, 4, True),
    (2, 0, 1, 1, 8, 16, 1, 5, 5, False), (1, 0, 1, 1, 3, 4, 5, 5, 5, True), (1, 4, 1, 1, 2, 3, 3, 3, 3, True),
    (4, 2, 1, 1, 3, 7, 11, 19, 17, True), (1, 1, 1, 6, 6, 6, 3, 6, 5, True), (2, 1, 1, 5, 5, 5, 3, 8, 7, False),
    (2, 2, 2, 4, 4, 4, 3, 9, 9, True), (1, 1, 1, 3, 3, 6, 3, 5, 5, True), (1, 1, 1, 1, 17, 19, 3, 4, 4, True)]:
    inputs = {"x": normal(2, cin, h, w), "weight": normal(cout, cin // g, k, k)}
    if bias:
        inputs["bias"] = normal(cout)
    record("conv2d", (s, p, d, g), inputs,
           lambda x, weight, bias=None: F.conv2d(x, weight, bias, stride=s, padding=p, dilation=d, groups=g))

for n, cin, cout, bias in [(5, 7, 3, True), (1, 33, 17, True), (8, 16, 16, False)]:
    inputs = {"x": normal(n, cin), "weight": normal(cout, cin)}
    if bias:
        inputs["bias"] = normal(cout)
    record("linear", (), inputs, F.linear)

POOLS = [(2, 2, 0, 0, 6, 8), (3, 2, 1, 0, 7, 7), (3, 2, 0, 1, 8, 6), (2, 2, 0, 1, 5, 7), (3, 1, 1, 0, 5, 4),
         (2, 3, 0, 0, 8, 7), (2, 3, 1, 1, 7, 8), (4, 3, 2, 1, 9, 8), (5, 5, 0, 0, 5, 5), (3, 2, 1, 1, 6, 6)]
for k, s, p, ceil, h, w in POOLS:
    for values in (normal, coarse):
        record("max_pool2d", (k, s, p, ceil), {"x": values(2, 5, h, w)},
               lambda x: F.max_pool2d(x, k, s, p, ceil_mode=bool(ceil)))
    record("avg_pool2d", (k, s, p, ceil), {"x": normal(2, 5, h, w)},
           lambda x: F.avg_pool2d(x, k, s, p, ceil_mode=bool(ceil)))
holes = normal(1, 3, 6, 6)
holes[0, 0, 2, 3] = holes[0, 2, 5, 5] = float("nan")
holes[0, 1] = -float("inf")
record("max_pool2d", (3, 2, 1, 0), {"x": holes}, lambda x: F.max_pool2d(x, 3, 2, 1))
record("global_avg_pool2d", (), {"x": normal(2, 5, 4, 3)}, lambda x: x.mean((2, 3)))


def affine(channels):
    return {"weight": normal(channels), "bias": normal(channels)}


for shape, momentum, eps in [((3, 5, 4, 2), 0.1, 1e-5), ((2, 9, 3, 3), 0.3, 1e-3), ((7, 6), 0.1, 1e-5)]:
    running = {"running_mean": normal(shape[1]), "running_var": torch.rand(shape[1]).float().double() + 0.5}
    x = normal(*shape) * 2 + 3
    record("batch_norm_frozen", (momentum, eps), {"x": x, **affine(shape[1])},
           lambda x, weight, bias: F.batch_norm(x, running["running_mean"], running["running_var"], weight, bias, eps=eps))
    for what, t in running.items():
        store(f"batch_norm_frozen/{counts['batch_norm_frozen'] - 1}", what, t)
    case = f"batch_norm/{counts.get('batch_norm', 0)}"
    for what, t in running.items():
        store(case, what, t)
    record("batch_norm", (momentum, eps), {"x": x, **affine(shape[1])},
           lambda x, weight, bias: F.batch_norm(x, running["running_mean"], running["running_var"], weight, bias,
                                                training=True, momentum=momentum, eps=eps))
    for what, t in running.items():
        store(case, f"new_{what}", t)

for groups, channels in [(1, 6), (2, 6), (6, 6), (4, 12)]:
    record("group_norm", (groups, 1e-5), {"x": normal(2, channels, 3, 4), **affine(channels)},
           lambda x, weight, bias: F.group_norm(x, groups, weight, bias, 1e-5))
record("instance_norm", (1e-5,), {"x": normal(3, 5, 4, 3), **affine(5)},
       lambda x, weight, bias: F.instance_norm(x, weight=weight, bias=bias, eps=1e-5))
for channels in (3, 7, 32):
    record("layer_norm", (1e-5,), {"x": normal(4, channels), **affine(channels)},
           lambda x, weight, bias: F.layer_norm(x, (channels,), weight, bias, 1e-5))
for size, alpha, beta, k, channels in [(5, 1e-4, 0.75, 1, 9), (5, 0.9, 0.75, 2, 9), (3, 0.7, 0.5, 1, 4), (4, 0.6, 0.6, 1.5, 7), (9, 0.8, 0.75, 1, 5)]:
    record("lrn", (size, alpha, beta, k), {"x": normal(2, channels, 2, 3)},
           lambda x: F.local_response_norm(x, size, alpha, beta, k))

for n, classes, smoothing in itertools.product((1, 6), (2, 10, 37), (0.0, 0.1)):
    record("cross_entropy", (smoothing,), {"x": normal(n, classes) * 3, "labels": torch.randint(classes, (n,))},
           lambda x, labels: F.cross_entropy(x, labels, label_smoothing=smoothing))
record("mse", (), {"x": normal(4, 9), "target": normal(4, 9)}, F.mse_loss)
for cols in (1, 10, 33):
    record("softmax", (), {"x": normal(4, cols) * 3}, lambda x: F.softmax(x, -1))
    record("log_softmax", (), {"x": normal(4, cols) * 3}, lambda x: F.log_softmax(x, -1))
for op in ("relu", "relu6", "gelu", "silu", "tanh", "sigmoid"):
    record(op, (), {"x": torch.cat([normal(60) * 4, torch.tensor([0.0, 6.0])])}, getattr(F, op) if hasattr(F, op) else getattr(torch, op))

STEPS = 6


def optimizer(op, params, make):
    case = new_case(op)
    weight = normal(11).requires_grad_()
    store(case, "params", [float(p) for p in params])
    store(case, "weight", weight)
    grads, weights = normal(STEPS, 11), []
    opt = make([weight])
    for g in grads:
        weight.grad = g.clone()
        opt.step()
        weights.append(weight.detach().clone())
    store(case, "grads", grads)
    store(case, "weights", torch.stack(weights))


for lr, momentum, decay, nesterov in [(0.1, 0, 0, 0), (0.1, 0, 0.01, 0), (0.05, 0.9, 0, 0), (0.05, 0.9, 5e-4, 0), (0.02, 0.9, 5e-4, 1)]:
    optimizer("sgd", (lr, momentum, decay, nesterov),
              lambda w: torch.optim.SGD(w, lr=lr, momentum=momentum, weight_decay=decay, nesterov=bool(nesterov)))
for lr, beta1, beta2, eps, decay in [(1e-3, 0.9, 0.999, 1e-8, 0.01), (0.1, 0.8, 0.95, 1e-6, 0.0), (0.05, 0.9, 0.99, 1e-8, 0.3)]:
    optimizer("adamw", (lr, beta1, beta2, eps, decay),
              lambda w: torch.optim.AdamW(w, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=decay))

path = pathlib.Path(__file__).with_name("ops.safetensors")
safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path,
                            # one entry: the order of several would change from run to run
                            {"made": f"tests/golden/make_ops.py, seed {SEED}, torch {torch.__version__}, "
                                     f"numpy {np.__version__}, safetensors {safetensors.__version__}"})
print(f"{path}: {len(tensors)} tensors, {path.stat().st_size} bytes")
