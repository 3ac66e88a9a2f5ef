#!/usr/bin/env python3
"""A training step in PyTorch and in Graft, interleaved in one run on the same cores, or on the same GPU.

PyTorch is timed as its users would run it: eager; images in the default layout and in channels-last; fused optimizers where there
are any; transformers by scaled_dot_product_attention. The best of them counts. Loading is excluded on both sides: one batch of
random normal images, or of random tokens, stays in memory. The models are those of nn/models, built from torch.nn.
On a GPU: bf16 by autocast with f32 weights, images in channels-last; eager, and with --compile by torch.compile (its mode
"reduce-overhead" replays CUDA graphs); Graft replays one graph. A sample is a step and the wait for its loss, on both sides.

    pytorch_step.py --graft build/release/bin/graft [--model resnet18] [--batch N] [--rounds 7] [--threads 2] [--json FILE]
    pytorch_step.py --graft build/cuda/bin/graft --device cuda [--dtype bf16] [--compile] ...
"""
import argparse
import functools
import json
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def study_cnn(classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 48, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(768, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes))


def conv_bn(cin, cout, kernel, stride=1, relu=True):
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class PadShortcut(nn.Module):  # every second pixel, zero channels on both sides
    def __init__(self, more):
        super().__init__()
        self.more = more

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def resnet20(classes):
    layers, cin = [conv_bn(3, 16, 3)], 16
    for stage in range(3):
        for _ in range(3):
            cout = 16 << stage
            stride = 1 if cin == cout else 2
            body = nn.Sequential(conv_bn(cin, cout, 3, stride), conv_bn(cout, cout, 3, relu=False))
            layers.append(Residual(body, nn.Identity() if cin == cout else PadShortcut(cout - cin)))
            cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def resnet(blocks, bottleneck, classes):
    layers, cin = [conv_bn(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, count in enumerate(blocks):
        for i in range(count):
            width, stride = 64 << stage, 2 if stage and i == 0 else 1
            cout = width * (4 if bottleneck else 1)
            if bottleneck:
                body = nn.Sequential(conv_bn(cin, width, 1), conv_bn(width, width, 3, stride), conv_bn(width, cout, 1, relu=False))
            else:
                body = nn.Sequential(conv_bn(cin, cout, 3, stride), conv_bn(cout, cout, 3, relu=False))
            same = stride == 1 and cin == cout
            layers.append(Residual(body, nn.Identity() if same else conv_bn(cin, cout, 1, stride, relu=False)))
            cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


class Block(nn.Module):
    def __init__(self, dim, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.expand, self.contract = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def attend(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2).reshape(b, t, c))

    def perceptron(self, x):
        return self.contract(F.gelu(self.expand(x), approximate="tanh" if self.causal else "none"))

    def forward(self, x):
        if self.causal:  # GPT-2: norms first
            x = x + self.attend(self.norm1(x))
            return x + self.perceptron(self.norm2(x))
        x = self.norm1(x + self.attend(x))
        return self.norm2(x + self.perceptron(x))


class Gpt2(nn.Module):
    def __init__(self, layers, heads, dim, context, classes):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(classes, dim), nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*(Block(dim, heads, True) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes, bias=False)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        return self.head(self.norm(self.blocks(self.tokens(ids) + self.positions.weight[: ids.shape[1]])))


class Bert(nn.Module):
    def __init__(self, layers, heads, dim, context, classes):
        super().__init__()
        self.tokens, self.positions, self.types = (nn.Embedding(n, dim) for n in (VOCABULARY, context, 2))
        self.norm, self.blocks = nn.LayerNorm(dim), nn.Sequential(*(Block(dim, heads, False) for _ in range(layers)))
        self.pooler, self.classifier = nn.Linear(dim, dim), nn.Linear(dim, classes)

    def forward(self, ids):
        x = self.norm(self.tokens(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0])
        return self.classifier(torch.tanh(self.pooler(self.blocks(x)[:, 0])))


VOCABULARY = 30522  # the encoder's
MODELS = {
    "study_cnn": study_cnn,
    "resnet20": resnet20,
    "resnet18": functools.partial(resnet, (2, 2, 2, 2), False),
    "resnet50": functools.partial(resnet, (3, 4, 6, 3), True),
    "gpt2_124m": functools.partial(Gpt2, 12, 12, 768, 1024),
    "decoder": functools.partial(Gpt2, 6, 6, 384, 256),
    "encoder": functools.partial(Bert, 6, 12, 384, 512),
}


class Candidate:
    """`graft`: what Graft's benchmark says of its own run: the shape of a sample, classes, vocabulary, batch."""

    def __init__(self, name, graft, channels_last, device="cpu", bf16=False, compiled=False):
        torch.manual_seed(1)
        self.device, self.bf16 = torch.device(device), bf16
        self.model = MODELS[name](graft["classes"]).to(device)
        batch, shape = graft["batch"], graft["input"]
        if len(shape) == 1:
            self.x = torch.randint(graft["vocabulary"], (batch, *shape))
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        else:
            layout = torch.channels_last if channels_last else torch.contiguous_format
            self.model = self.model.to(memory_format=layout)
            self.x = torch.randn(batch, shape[2], shape[0], shape[1]).to(memory_format=layout)
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4, fused=True)
        self.x = self.x.to(device)
        with torch.no_grad():
            logits = self.model(self.x)
        self.classes = logits.shape[-1]
        self.labels = (torch.arange(logits.numel() // self.classes) % self.classes).to(device)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.loss = torch.compile(self.loss_of, mode="reduce-overhead") if compiled else self.loss_of

    def loss_of(self):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return F.cross_entropy(self.model(self.x).view(-1, self.classes), self.labels)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        loss.item()

    def milliseconds(self, repeats):
        for _ in range(min(5 if self.device.type == "cuda" else 3, repeats)):
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
    parser.add_argument("--model", default="study_cnn", choices=MODELS)
    parser.add_argument("--batch", type=int, default=0, help="0: the default of graft bench step")
    parser.add_argument("--sequence", type=int, default=0, help="tokens; 0: the default of graft bench step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", choices=["f32", "bf16"], help="default: f32 on cpu, bf16 on cuda")
    parser.add_argument("--compile", action="store_true", help="on cuda: torch.compile as a candidate, too")
    parser.add_argument("--json")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    command = [a.graft, "bench", "step", "--model", a.model, "--threads", str(a.threads), "--repeats", str(a.repeats), "--json"]
    dtype = a.dtype or ("bf16" if a.device == "cuda" else "f32")
    command += ["--device", a.device, "--dtype", dtype, *(["--graph"] if a.device == "cuda" else [])]
    command += ["--batch", str(a.batch)] if a.batch else []
    command += ["--sequence", str(a.sequence)] if a.sequence else []

    def run_graft():
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{' '.join(command)}: {ran.stderr.strip()}")
        return json.loads(ran.stdout)

    graft = run_graft()
    images = len(graft["input"]) == 3
    if a.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False  # f32 is f32, as for matrix products
        kinds = {"pytorch eager": False, **({"pytorch compiled": True} if a.compile else {})}
        candidates = {name: Candidate(a.model, graft, images, "cuda", dtype == "bf16", kind) for name, kind in kinds.items()}
    else:
        layouts = {"pytorch default": False, "pytorch channels-last": True} if images else {"pytorch": False}
        candidates = {name: Candidate(a.model, graft, layout) for name, layout in layouts.items()}
    for name, candidate in candidates.items():
        assert candidate.parameters == graft["parameters"], f"{name}: {candidate.parameters} parameters, graft {graft['parameters']}"
    times = {name: [] for name in ["graft", *candidates]}
    ratios = []
    for _ in range(a.rounds):
        graft = run_graft()
        times["graft"].append(graft["step_ms"])
        for name, candidate in candidates.items():
            times[name].append(candidate.milliseconds(a.repeats))
        ratios.append(min(times[name][-1] for name in candidates) / graft["step_ms"])
    unit, items = ("tokens", graft["batch"] * graft["input"][0]) if len(graft["input"]) == 1 else ("images", graft["batch"])
    print(f"{a.model} {graft['input']}, batch {graft['batch']}, {a.threads} threads, {a.rounds} interleaved rounds of {a.repeats} "
          f"steps, PyTorch {torch.__version__}, {graft['target']}, {dtype}, peak {graft['peak_gflops']:.0f} GFLOP/s")
    for name, t in times.items():
        ms = statistics.median(t)
        print(f"{name:22s} {ms:9.2f} ms  {items / ms * 1e3:7.0f} {unit}/s  {graft['gflop'] / ms * 1e3:6.1f} GFLOP/s")
    print(f"graft is {statistics.median(ratios):.2f} times as fast as the best PyTorch (min {min(ratios):.2f}, max {max(ratios):.2f})")
    if a.json:
        with open(a.json, "w") as file:
            json.dump({"op": "step", "model": a.model, "batch": graft["batch"], "threads": a.threads, "device": a.device, "dtype": dtype,
                       "pytorch": torch.__version__,
                       "times_ms": times, "ratio_median": statistics.median(ratios), "graft": graft}, file, indent=1)


if __name__ == "__main__":
    main()
