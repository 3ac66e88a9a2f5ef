#!/usr/bin/env python3
"""Base networks of a transfer study trained by Graft and by PyTorch: the same images, start, batches and recipe.

    graft study bench/baselines/base_cells.toml --out runs/base_cells
    pytorch_base_cells.py runs/base_cells [--json FILE]      (a Python with PyTorch, numpy, and tomllib: 3.11 or later)

Graft draws every random number from Philox 4x32-10 under the name of its use (kernels/common/philox.h), so classes, images,
initial weights and the order of the batches are drawn here again, from the definitions and not from files. The mean loss of
the first epoch, in the table, tells that both started alike: from there the float32 trainings drift apart, as PyTorch's own
float32 drifts from its float64. Exit code 3 when the paired mean difference of the final accuracies exceeds 1.5 pp.
"""
import argparse
import csv
import gzip
import json
import pathlib
import sqlite3
import statistics
import sys
import tomllib

import numpy as np
import torch
import torch.nn.functional as F

LIMIT = 1.5  # pp
M64 = (1 << 64) - 1
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"  # Debian: dataset-fashion-mnist


def stream_key(seed, name):
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = ((h ^ c) * 0x100000001B3) & M64
    h ^= (seed + 0x9E3779B97F4A7C15) & M64
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & M64
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & M64
    return h ^ (h >> 31)


def words(key, offset, n):
    """The first n 32-bit words of a stream."""
    low = np.uint64(0xFFFFFFFF)
    index = np.arange((n + 3) // 4, dtype=np.uint64)
    c = [index & low, index >> np.uint64(32), np.full_like(index, offset & 0xFFFFFFFF), np.full_like(index, offset >> 32)]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p0 & low]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=1).ravel()[:n]


def below(word, n):
    return int(word) * n >> 32


def normal(key, n):
    w = (words(key, 0, 2 * n) >> np.uint64(8)).astype(np.float64)
    u, v = (w[0::2] + 0.5) * 2.0**-24, w[1::2] * 2.0**-24
    return np.sqrt(-2 * np.log(u)) * np.cos(6.283185307179586 * v)


def shuffled_head(items, n, draws):
    """The first n of a Fisher-Yates shuffle."""
    items = list(items)
    for i in range(n):
        j = i + below(draws[i], len(items) - i)
        items[i], items[j] = items[j], items[i]
    return items


def halves(seed):
    order, draws = list(range(10)), words(stream_key(seed, "split"), 0, 10)
    for i in range(9, 0, -1):
        j = below(draws[i], i + 1)
        order[i], order[j] = order[j], order[i]
    return {"A": sorted(order[:5]), "B": sorted(order[5:])}


def sample(labels, per_class, key):
    """Items of a training set, per class drawn at random, in the order of the set."""
    chosen = []
    for c in range(5):
        items = np.flatnonzero(labels == c)
        chosen += shuffled_head(items, per_class, words(stream_key(key, "sample"), c, per_class))[:per_class]
    return np.sort(chosen)


def batch_order(n, key, epoch):
    return shuffled_head(range(n), n - 1, words(stream_key(key, "order"), epoch, n))


def initial_weights(seed, half):
    """He-normal, in Graft's layout (filters [out, kh, kw, in], the columns of fc5 in the order H, W, C), then in PyTorch's."""
    w = {}
    shapes = {"conv1": (16, 3, 3, 1), "conv2": (32, 3, 3, 16), "conv3": (48, 3, 3, 32), "conv4": (48, 3, 3, 48),
              "fc5": (128, 432), "fc6": (64, 128), "fc7": (5, 64)}
    for name, shape in shapes.items():
        key = stream_key(stream_key(seed, f"base/{half}/{name}"), "weight")
        value = np.sqrt(2 / np.prod(shape[1:])) * normal(key, int(np.prod(shape)))
        value = value.astype(np.float32).reshape(shape)
        if len(shape) == 4:
            value = value.transpose(0, 3, 1, 2)
        if name == "fc5":
            value = value.reshape(128, 3, 3, 48).transpose(0, 3, 1, 2).reshape(128, 432)
        w[f"{name}.weight"] = torch.from_numpy(np.ascontiguousarray(value)).requires_grad_()
        w[f"{name}.bias"] = torch.zeros(shape[0], requires_grad=True)
    return w


def forward(w, x):
    for name, pool in (("conv1", True), ("conv2", True), ("conv3", False), ("conv4", True)):
        x = F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1))
        x = F.max_pool2d(x, 2) if pool else x
    x = x.flatten(1)
    for name in ("fc5", "fc6"):
        x = F.relu(F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]))
    return F.linear(x, w["fc7.weight"], w["fc7.bias"])


def read_idx(path):
    data = gzip.open(path).read()
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def load(folder, part):
    return read_idx(folder / f"{part}-images-idx3-ubyte.gz"), read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)


def pick(images, labels, classes):
    new = np.full(10, -1)
    new[classes] = np.arange(5)
    keep = new[labels] >= 0
    return images[keep], new[labels[keep]]


def train_cell(recipe, train, test, seed, half, per_class):
    """Accuracy, loss on the test images, mean training loss of every epoch."""
    (x, y), (tx, ty) = (pick(*part, halves(seed)[half]) for part in (train, test))
    items = sample(y, per_class, stream_key(seed, "images"))
    x, y = x[items], torch.from_numpy(y[items])
    pixels = train[0].astype(np.float64)  # normalised by all training images, of both halves
    mean, std = pixels.mean() / 255, pixels.std() / 255
    tensor = lambda images: torch.from_numpy(((images.astype(np.float64) / 255 - mean) / std).astype(np.float32)[:, None])
    x, tx, ty = tensor(x), tensor(tx), torch.from_numpy(ty)

    w = initial_weights(seed, half)
    sgd = torch.optim.SGD(list(w.values()), lr=recipe["lr"], momentum=recipe["momentum"], weight_decay=recipe["weight_decay"])
    batch, curve, step = recipe["batch"], [], 0
    total = recipe["epochs"] * -(-len(x) // batch)
    for epoch in range(recipe["epochs"]):
        order, sum_ = batch_order(len(x), stream_key(seed, f"order/{half}"), epoch), 0.0
        for begin in range(0, len(x), batch):
            at = order[begin:begin + batch]
            sgd.param_groups[0]["lr"] = recipe["lr"] * 0.1 ** sum(step >= f * total - 1e-6 for f in (0.6, 0.85))
            sgd.zero_grad()
            loss = F.cross_entropy(forward(w, x[at]), y[at])
            loss.backward()
            sgd.step()
            sum_ += loss.item() * len(at)
            step += 1
        curve.append(sum_ / len(x))
    with torch.no_grad():
        logits = torch.cat([forward(w, part) for part in tx.split(500)])
        return (logits.argmax(1) == ty).double().mean().item(), F.cross_entropy(logits, ty).item(), curve


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=pathlib.Path, help="folder of the Graft study")
    parser.add_argument("--config", type=pathlib.Path, default=pathlib.Path(__file__).with_name("base_cells.toml"))
    parser.add_argument("--data", type=pathlib.Path, default=FASHION_MNIST, help="folder with the four IDX files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    config = tomllib.loads(a.config.read_text())
    recipe, data = config["train"], config["data"]
    assert config["model"]["name"] == "study_cnn" and config["model"]["init"] == "he_normal" and recipe["schedule"] == "step"
    train, test = load(a.data, "train"), load(a.data, "t10k")
    rows = [r for r in csv.DictReader(open(a.study / "cells.csv")) if r["condition"] == "base"]
    curves = {(half, seed): json.loads(curve) for half, seed, curve in sqlite3.connect(a.study / "study.sqlite").execute(
        "SELECT half, seed, curve FROM cells JOIN results USING (key) WHERE condition = 'base'")}

    cells = []
    print("seed half   Graft  PyTorch   pp     first epoch's loss")
    for r in rows:
        seed, half = int(r["seed"]), r["half"]
        accuracy, loss, curve = train_cell(recipe, train, test, seed, half, data["images_per_class"])
        graft_first = curves[half, seed][0][0]
        c = {"seed": seed, "half": half, "graft": float(r["accuracy"]), "pytorch": accuracy, "graft_test_loss": float(r["loss"]),
             "pytorch_test_loss": loss, "graft_first_epoch_loss": graft_first, "pytorch_first_epoch_loss": curve[0]}
        c["difference_pp"] = 100 * (c["graft"] - c["pytorch"])
        cells.append(c)
        print(f"{seed:4} {half:>4}  {c['graft']:.4f}  {accuracy:.4f}  {c['difference_pp']:+.2f}  {graft_first:.5f} {curve[0]:.5f}", flush=True)
    seeds = sorted({c["seed"] for c in cells})
    per_seed = [statistics.mean(c["difference_pp"] for c in cells if c["seed"] == s) for s in seeds]  # halves averaged
    mean = statistics.mean(per_seed)
    t95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[len(seeds)] if 2 <= len(seeds) <= 5 else float("nan")
    half_width = t95 * statistics.stdev(per_seed) / len(seeds) ** 0.5
    agree = abs(mean) <= LIMIT
    print(f"paired mean difference over {len(seeds)} seeds: {mean:+.2f} pp, 95 % interval +/- {half_width:.2f}; "
          f"limit {LIMIT} pp: {'agrees' if agree else 'DIFFERS'}")
    if a.json:
        out = {"config": config["name"], "torch": torch.__version__.split("+")[0], "mean_difference_pp": mean,
               "half_width_95_pp": half_width, "per_seed_pp": per_seed, "limit_pp": LIMIT, "agrees": agree, "cells": cells}
        a.json.write_text(json.dumps(out, indent=1) + "\n")
    sys.exit(0 if agree else 3)


if __name__ == "__main__":
    main()
