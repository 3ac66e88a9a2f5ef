"""Golden data of training: the study CNN in PyTorch on Fashion-MNIST, written to training.safetensors beside this file and
read by tests/nn/pytorch_training_test.cpp.

    python tests/golden/make_training.py FOLDER     (needs torch, numpy and safetensors; the test needs none of them)

FOLDER holds train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz (Debian: dataset-fashion-mnist).

What is recorded, for a run of 100 steps of SGD in float64 from the initial weights `initial/...` on the items `batches`:
  loss64   the losses of that run.
  loss32   the loss of the same batch in float32, at the weights of every step rounded to float32.
  grad/... the gradient of every parameter in that float32 pass, one row a step. A tensor of more than 256 elements is
           stored as its count sketch (Charikar, Chen, Farach-Colton 2002): element i is added with a random sign to one of
           256 sums. That is linear and keeps squared norms within 2 / sqrt(256) = 9 % (one standard deviation), so the
           sketch of a difference tells the size of the difference, every element included.
  free32   the losses of a free-running float32 training (for a plot; not judged).
Weights have Graft's layout: filters [out, kh, kw, in], the columns of fc5 in the order H, W, C. Initial weights are rounded
to float16 and stored so.
"""
import gzip
import pathlib
import sys

import numpy as np
import safetensors.numpy
import torch
import torch.nn.functional as F

STEPS, BATCH, SKETCH, SEED = 100, 25, 256, 3  # half of the usual batch: the test repeats it with scalar loops in double
LR, MOMENTUM, DECAY, MEAN, STD = 0.02, 0.9, 5e-4, 0.2860, 0.3530
torch.set_num_threads(1)


def read_idx(path):
    data = gzip.open(path).read()
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def he_normal(rng, *shape):
    w = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return w.astype(np.float16).astype(np.float64)


def initial_weights(rng):
    w = {}
    for name, i, o in (("conv1", 1, 16), ("conv2", 16, 32), ("conv3", 32, 48), ("conv4", 48, 48)):
        w[f"{name}.weight"], w[f"{name}.bias"] = he_normal(rng, o, i, 3, 3), np.zeros(o)
    for name, i, o in (("fc5", 432, 128), ("fc6", 128, 64), ("fc7", 64, 10)):
        w[f"{name}.weight"], w[f"{name}.bias"] = he_normal(rng, o, i), np.zeros(o)
    return {k: torch.from_numpy(v) for k, v in w.items()}


def forward(w, x):
    for name, pool in (("conv1", True), ("conv2", True), ("conv3", False), ("conv4", True)):
        x = F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1))
        x = F.max_pool2d(x, 2) if pool else x
    x = x.flatten(1)
    for name in ("fc5", "fc6"):
        x = F.relu(F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]))
    return F.linear(x, w["fc7.weight"], w["fc7.bias"])


def ours(name, t):
    t = t.detach().numpy()
    if name == "fc5.weight":
        return t.reshape(128, 48, 3, 3).transpose(0, 2, 3, 1).reshape(128, 432)
    return t.transpose(0, 2, 3, 1) if t.ndim == 4 else t


def splitmix64(i):
    with np.errstate(over="ignore"):
        z = i + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def sketch(t, step):
    v = np.ascontiguousarray(t, dtype=np.float64).ravel()
    if v.size <= SKETCH:
        return v
    h = splitmix64(np.arange(v.size, dtype=np.uint64) + (np.uint64(step) << np.uint64(32)))
    sign = 1 - 2 * (h >> np.uint64(63)).astype(np.float64)
    return np.bincount((h % np.uint64(SKETCH)).astype(np.int64), weights=sign * v, minlength=SKETCH)


def loss_and_grads(w, x, labels):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in w.items()}
    loss = F.cross_entropy(forward(leaves, x), labels)
    loss.backward()
    return loss.item(), {k: v.grad for k, v in leaves.items()}


def train(w, steps, batch, on_step=None):
    w = {k: v.clone().requires_grad_() for k, v in w.items()}
    sgd = torch.optim.SGD(list(w.values()), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    losses = []
    for t in range(steps):
        x, labels = batch(t)
        if on_step:
            on_step(t, w)
        sgd.zero_grad()
        loss = F.cross_entropy(forward(w, x), labels)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return np.array(losses)


def main():
    folder = pathlib.Path(sys.argv[1])
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    rng = np.random.default_rng(SEED)
    batches = rng.permutation(len(images))[: STEPS * BATCH].reshape(STEPS, BATCH)

    def batch(t, dtype=torch.float64):
        x = (images[batches[t]].astype(np.float64) / 255 - MEAN) / STD
        return torch.from_numpy(x[:, None]).to(dtype), torch.from_numpy(labels[batches[t]].astype(np.int64))

    w = initial_weights(rng)
    out = {f"initial/{k}": np.ascontiguousarray(ours(k, v)).astype(np.float16) for k, v in w.items()}
    out["batches"] = batches.astype(np.int64)
    loss32, grads = [], {k: [] for k in w}

    def one_float_step(t, w64):
        x, y = batch(t, torch.float32)
        loss, g = loss_and_grads({k: v.detach().float() for k, v in w64.items()}, x, y)
        loss32.append(loss)
        for k, v in g.items():
            grads[k].append(sketch(ours(k, v), t))

    out["loss64"] = train(w, STEPS, batch, one_float_step)
    out["loss32"] = np.array(loss32)
    out["free32"] = train({k: v.float() for k, v in w.items()}, STEPS, lambda t: batch(t, torch.float32))
    for k, rows in grads.items():
        out[f"grad/{k}"] = np.array(rows, dtype=np.float32)
    about = {"generator": "make_training.py", "torch": torch.__version__, "numpy": np.__version__, "seed": str(SEED)}
    safetensors.numpy.save_file(out, pathlib.Path(__file__).with_name("training.safetensors"), about)
    print(out["loss64"][[0, 19, 99]], out["free32"][[0, 19, 99]])


if __name__ == "__main__":
    main()
