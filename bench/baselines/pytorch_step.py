#!/usr/bin/env python3
"""A training step of the study CNN in PyTorch and in Graft, interleaved in one run on the same cores.

PyTorch is timed as its users would run it: eager, default layout and channels-last, fused SGD where there is one; the
better of the two counts. Loading is excluded on both sides: one batch of random normal images stays in memory.

    pytorch_step.py --graft build/release/bin/graft [--rounds 7] [--threads 2] [--json FILE]
"""
import argparse
import json
import statistics
import subprocess
import time

import torch
from torch import nn


def study_cnn(classes=5):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(768, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes))


class Candidate:
    def __init__(self, batch, channels_last):
        torch.manual_seed(1)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = study_cnn().to(memory_format=layout)
        self.x = torch.randn(batch, 3, 32, 32).to(memory_format=layout)
        self.labels = torch.arange(batch) % 5
        options = dict(lr=0.001, momentum=0.9, weight_decay=5e-4)
        try:
            self.sgd = torch.optim.SGD(self.model.parameters(), fused=True, **options)
        except (RuntimeError, TypeError):
            self.sgd = torch.optim.SGD(self.model.parameters(), **options)

    def step(self):
        self.sgd.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(self.model(self.x), self.labels).backward()
        self.sgd.step()

    def milliseconds(self, repeats):
        for _ in range(3):
            self.step()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            self.step()
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--graft", required=True)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    candidates = {"pytorch default": Candidate(a.batch, False), "pytorch channels-last": Candidate(a.batch, True)}
    command = [a.graft, "bench", "step", "--model", "study_cnn", "--batch", str(a.batch), "--threads", str(a.threads),
               "--repeats", str(a.repeats), "--json"]
    times = {name: [] for name in ["graft", *candidates]}
    ratios, graft = [], None
    for _ in range(a.rounds):
        graft = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        times["graft"].append(graft["step_ms"])
        for name, candidate in candidates.items():
            times[name].append(candidate.milliseconds(a.repeats))
        ratios.append(min(times[name][-1] for name in candidates) / graft["step_ms"])
    print(f"study CNN, batch {a.batch}, {a.threads} threads, {a.rounds} interleaved rounds of {a.repeats} steps, "
          f"PyTorch {torch.__version__}, {graft['target']}, FMA peak {graft['peak_gflops']:.0f} GFLOP/s")
    for name, t in times.items():
        ms = statistics.median(t)
        print(f"{name:22s} {ms:7.2f} ms  {a.batch / ms * 1e3:6.0f} images/s  {graft['gflop'] / ms * 1e3:5.1f} GFLOP/s")
    print(f"graft is {statistics.median(ratios):.2f} times as fast as the better PyTorch (min {min(ratios):.2f}, max {max(ratios):.2f})")
    if a.json:
        with open(a.json, "w") as file:
            json.dump({"op": "step", "model": "study_cnn", "batch": a.batch, "threads": a.threads, "pytorch": torch.__version__,
                       "times_ms": times, "ratio_median": statistics.median(ratios), "graft": graft}, file, indent=1)


if __name__ == "__main__":
    main()
