#!/usr/bin/env python3
"""PyTorch as an engine of `graft bench` (GRAFT_PYTORCH=PYTHON): started by it, timed in turns with Graft's kernels.

Requests and answers are JSON lines. Arguments lie in files that both processes map, in the order and layouts of Graft's
signatures: images NHWC and filters [Cout, kh, kw, Cin] are PyTorch's channels_last, so nothing is copied or permuted.
  {"case": {op, pass, shape, dtype, device}, "args": [{file, dtype, n}, ...]}   -> {"ok": true, "skips": [outputs it does not make]}
  {"run": true}                                                                 -> {"ok": true}, outputs in their files
  {"calls": n, "cold": bool}                                                    -> {"seconds": s of one call, "disturbed": bool}
"""
import functools
import json
import os
import re
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

aten = torch.ops.aten
NUMPY = {"f32": np.float32, "bf16": np.int16, "i32": np.int32, "i64": np.int64, "f64": np.float64}


def number(shape, key):
    return int(re.search(rf"\b{key}=(\d+)", shape)[1])


def image(t, n, h, w, c):
    return t.view(n, h, w, c).permute(0, 3, 1, 2)


def pixels(t):
    return t.permute(0, 2, 3, 1).reshape(-1)


def matmul(case, a):
    s = case["shape"]
    b, m, n, k = (number(s, x) for x in ("batch", "m", "n", "k"))
    if "accumulate" in s:
        return None
    ta, tb = re.search(r" ([nt])([nt])$", s).groups()
    x = a[1].view(b, k, m).transpose(1, 2) if ta == "t" else a[1].view(b, m, k)
    y = a[2].view(b, n, k).transpose(1, 2) if tb == "t" else a[2].view(b, k, n)
    if b == 1:
        x, y = x[0], y[0]
    return lambda: [torch.matmul(x, y)], {0: lambda r: r[0].reshape(-1)}


def linear(case, a):
    s = case["shape"]
    rows, i, o = number(s, "rows"), number(s, "in"), number(s, "out")
    relu = s.endswith("relu")
    if case["pass"] == "forward":
        x, w, bias = a[1].view(rows, i), a[2].view(o, i), a[3]
        residual = None if a[4] is None else a[4].view(rows, o)

        def forward():
            y = F.linear(x, w, bias)
            y = y if residual is None else y + residual
            return [y.relu_() if relu else y]
        return forward, {0: lambda r: r[0].reshape(-1)}
    dgrad = case["pass"] == "dgrad"
    dy = a[1 if dgrad else 2].view(rows, o)
    y = a[3 if dgrad else 4]
    y = y.view(rows, o) if relu else None
    masked = lambda: aten.threshold_backward(dy, y, 0) if relu else dy
    if dgrad:
        w = a[2].view(o, i)
        return lambda: [masked() @ w], {0: lambda r: r[0].reshape(-1)}
    x, with_bias = a[3].view(rows, i), a[1] is not None

    def wgrad():
        g = masked()
        return [g.t() @ x] + ([g.sum(0)] if with_bias else [])
    return wgrad, {0: lambda r: r[0].reshape(-1), **({1: lambda r: r[1]} if with_bias else {})}


def conv2d(case, a):
    s = case["shape"]
    n, h, w, c = number(s, "n"), *map(int, re.search(r"(\d+)x(\d+)x(\d+) out", s).groups())
    o, stride, padding, dilation, groups = (number(s, k) for k in ("out", "stride", "padding", "dilation", "groups"))
    kh, kw = map(int, re.search(r"kernel=(\d+)x(\d+)", s).groups())
    relu = s.endswith("relu")
    oh, ow = ((v + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for v, k in ((h, kh), (w, kw)))
    weight = lambda t: image(t, o, kh, kw, c // groups)
    common = ([stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups)
    if case["pass"] == "forward":
        first = 2 if case["op"] == "conv2d" else 1  # behind the statistics
        x, k, bias = image(a[first], n, h, w, c), weight(a[first + 1]), a[first + 2]

        def forward():
            y = aten.convolution(x, k, bias, *common)
            return [y.relu_() if relu else y]
        return forward, {0: lambda r: pixels(r[0])}
    dgrad = case["pass"] == "dgrad"
    dy = image(a[1 if dgrad else 2], n, oh, ow, o)
    y = a[3 if dgrad else 4]
    y = image(y, n, oh, ow, o) if relu else None
    masked = lambda: aten.threshold_backward(dy, y, 0) if relu else dy
    if dgrad:
        k, x = weight(a[2]), torch.empty_like(image(a[0], n, h, w, c))
        return (lambda: [aten.convolution_backward(masked(), x, k, [o], *common, [True, False, False])[0]],
                {0: lambda r: pixels(r[0])})
    x, k, bias = image(a[3], n, h, w, c), torch.empty_like(weight(a[0])), a[1] is not None
    return (lambda: aten.convolution_backward(masked(), x, k, [o], *common, [False, True, bias])[1:],
            {0: lambda r: pixels(r[0]), **({1: lambda r: r[1]} if bias else {})})


def attention(case, a):
    s = case["shape"]
    b, t, keys, dim = (number(s, k) for k in ("batch", "queries", "keys", "dim"))
    heads, kv = map(int, re.search(r"heads=(\d+)/(\d+)", s).groups())
    if "window" in s or ("causal" in s and t != keys and t != 1):
        return None
    causal = "causal" in s and t == keys
    if case["pass"] == "backward":  # timed only: the case has an lse of its own, and PyTorch takes that of its forward pass
        if a[9] is not None:
            return None
        dy, q = (x.view(b, t, heads, dim).transpose(1, 2) for x in a[3:5])
        k, v = (x.view(b, keys, kv, dim).transpose(1, 2) for x in a[5:7])

        @functools.cache  # at the first call: the arguments are zeros before, and written anew later
        def recorded():
            leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
            with torch.enable_grad():
                return F.scaled_dot_product_attention(*leaves, is_causal=causal, enable_gqa=heads != kv), leaves
        return lambda: torch.autograd.grad(*recorded(), dy, retain_graph=True), {}
    q = a[2].view(b, t, heads, dim).transpose(1, 2)
    k, v = (x.view(b, keys, kv, dim).transpose(1, 2) for x in a[3:5])
    if a[5] is not None and causal:
        return None

    @functools.cache  # at the first call: the lengths are not there before
    def mask():
        return a[5] is not None and (torch.arange(keys, device=q.device)[None] < a[5][:, None])[:, None, None].expand(b, 1, t, keys)
    return (lambda: [F.scaled_dot_product_attention(q, k, v, attn_mask=None if a[5] is None else mask(), is_causal=causal,
                                                    enable_gqa=heads != kv)],
            {0: lambda r: r[0].transpose(1, 2).reshape(-1)})


def layer_norm(case, a):
    rows, c = number(case["shape"], "rows"), number(case["shape"], "channels")
    flat = lambda i: (lambda r: r[i].reshape(-1))
    if case["pass"] == "forward":
        x = a[3].view(rows, c)

        @functools.cache  # at the first call: they are zeros before
        def parameters():
            return [t if t is None else t.to(x.dtype) for t in a[4:6]]  # on a GPU it takes one type only
        return lambda: aten.native_layer_norm(x, [c], *parameters(), 1e-5), {0: flat(0), 1: flat(1), 2: flat(2)}
    if a[5] is None or a[8] is not None or a[3].dtype != a[5].dtype:
        return None
    dy, x = a[3].view(rows, c), a[4].view(rows, c)
    zero = torch.zeros_like(a[5])
    mean, rstd = a[6].view(rows, 1), a[7].view(rows, 1)
    return (lambda: aten.native_layer_norm_backward(dy, x, [c], mean, rstd, a[5], zero, [True] * 3),
            {0: flat(0), 1: flat(1), 2: flat(2)})


def batch_norm(case, a):
    rows, c = number(case["shape"], "rows"), number(case["shape"], "channels")
    flat = lambda i: (lambda r: r[i].reshape(-1))
    as_image = lambda t: t.view(rows, c, 1, 1).contiguous(memory_format=torch.channels_last)
    relu = case["shape"].endswith("relu")
    if case["pass"] == "forward":
        x, residual = as_image(a[5]), None if a[8] is None else as_image(a[8])

        def forward():
            y, *statistics = aten.native_batch_norm(x, a[6], a[7], a[3], a[4], True, 0.1, 1e-5)
            if residual is not None:
                y.add_(residual)
            return [y.relu_() if relu else y, *statistics]
        return forward, {0: flat(0), 1: flat(1), 2: flat(2), 3: lambda r: a[3], 4: lambda r: a[4]}
    if a[7] is None:
        return None
    dy, x, y = as_image(a[4]), as_image(a[5]), as_image(a[6]) if relu else None

    def backward():
        dz = aten.threshold_backward(dy, y, 0) if relu else dy
        return [*aten.native_batch_norm_backward(dz, x, a[7], None, None, a[8], a[9], True, 1e-5, [True] * 3), dz]
    return backward, {0: flat(0), 1: flat(1), 2: flat(2), 3: flat(3)}


def softmax(case, a):
    rows, c = number(case["shape"], "rows"), number(case["shape"], "cols")
    log = case["op"] == "log_softmax"
    if case["pass"] == "forward":
        x = a[1].view(rows, c)
        return lambda: [(F.log_softmax if log else F.softmax)(x, -1)], {0: lambda r: r[0].reshape(-1)}
    dy, y = a[1].view(rows, c), a[2].view(rows, c)
    f = aten._log_softmax_backward_data if log else aten._softmax_backward_data
    return lambda: [f(dy, y, -1, y.dtype)], {0: lambda r: r[0].reshape(-1)}


def cross_entropy(case, a):
    n, c = number(case["shape"], "n"), number(case["shape"], "classes")
    smoothing = float(re.search(r"smoothing=([\d.e-]+)", case["shape"])[1])
    if case["pass"] != "forward":
        return None
    x = a[2].view(n, c)
    return lambda: [F.cross_entropy(x, a[3], label_smoothing=smoothing)], {0: lambda r: r[0].reshape(1)}


def activation(case, a):
    kind = number(case["shape"], "kind")
    forward = {1: F.relu, 2: F.relu6, 3: F.gelu, 4: F.silu, 5: torch.tanh, 6: torch.sigmoid,
               7: lambda x: F.gelu(x, approximate="tanh")}
    backward = {1: lambda g, x: aten.threshold_backward(g, x, 0), 3: aten.gelu_backward, 4: aten.silu_backward,
                7: lambda g, x: aten.gelu_backward(g, x, approximate="tanh")}
    if case["pass"] == "forward":
        f, inputs = forward.get(kind), a[1:]
    else:
        f, inputs = backward.get(kind) if a[1] is None else None, a[2:]  # with a bias gradient: no call of its own
    return f and (lambda: [f(*inputs)], {0: lambda r: r[0]})


def binary(case, a):
    kind, n, m = number(case["shape"], "kind"), number(case["shape"], "a"), number(case["shape"], "b")
    if case["pass"] != "forward" or n != m:
        return None
    f = (torch.add, torch.sub, torch.mul)[kind]
    return lambda: [f(a[1], a[2])], {0: lambda r: r[0]}


def pool2d(case, a):
    s = case["shape"]
    n, h, w, c = map(int, re.search(r"x=(\d+)x(\d+)x(\d+)x(\d+)", s).groups())
    k, stride, padding = (number(s, key) for key in ("kernel", "stride", "padding"))
    if case["pass"] != "forward" or "ceil" in s:
        return None
    if case["op"] == "max_pool2d":
        x = image(a[2], n, h, w, c)
        return lambda: aten.max_pool2d_with_indices(x, k, stride, padding), {0: lambda r: pixels(r[0])}
    x = image(a[1], n, h, w, c)
    return lambda: [F.avg_pool2d(x, k, stride, padding)], {0: lambda r: pixels(r[0])}


def embedding(case, a):
    n, v, d = (number(case["shape"], k) for k in ("n", "vocabulary", "features"))
    if case["pass"] == "forward":
        w = a[1].view(v, d)
        return lambda: [F.embedding(a[2], w)], {0: lambda r: r[0].reshape(-1)}
    dy = a[1].view(n, d)
    return lambda: [aten.embedding_dense_backward(dy, a[2], v, -1, False)], {0: lambda r: r[0].reshape(-1)}


OPS = {"matmul": matmul, "linear": linear, "conv2d": conv2d, "depthwise_conv2d": conv2d, "attention": attention,
       "layer_norm": layer_norm, "batch_norm": batch_norm, "softmax": softmax, "log_softmax": softmax,
       "cross_entropy": cross_entropy, "activation": activation, "binary": binary, "max_pool2d": pool2d, "avg_pool2d": pool2d,
       "embedding": embedding}


class Case:
    def __init__(self, request):
        self.cuda = request["case"]["device"] == "cuda"
        self.host, self.args = [], []
        for arg in request["args"]:
            t = None
            if arg["file"]:
                t = torch.from_numpy(np.memmap(arg["file"], NUMPY[arg["dtype"]], "r+", shape=(arg["n"],)))
                t = t.view(torch.bfloat16) if arg["dtype"] == "bf16" else t
            self.host.append(t)
            self.args.append(t.cuda() if t is not None and self.cuda else t)
        made = OPS[request["case"]["op"]](request["case"], self.args) if request["case"]["op"] in OPS else None
        self.call, self.outputs = made or (None, {})

    def run(self):
        for host, arg in zip(self.host, self.args):
            if self.cuda and host is not None:
                arg.copy_(host)
        results = self.call()
        for i, pick in self.outputs.items():
            if self.host[i] is not None:
                self.host[i].copy_(pick(results))

    def time(self, calls, cold):
        if self.cuda:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            if cold:
                flush.zero_()
            else:  # the GPU waits until the calls are queued: the time is that of their kernels
                self.call()
                torch.cuda._sleep(100_000 * calls)  # pylint: disable=protected-access
            start.record()
            for _ in range(calls):
                self.call()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3 / calls, False
        if cold:
            flush.add_(1)
        time.sleep(5e-4)  # as bench/device.cpp: others' threads fall asleep, ours gets a whole time slice
        torch.mm(small, small)
        if not cold:
            self.call()
        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        start = time.perf_counter()
        for _ in range(calls):
            self.call()
        seconds = time.perf_counter() - start
        return seconds / calls, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw != switches


def last_level_cache():
    try:
        return max(int(open(f"/sys/devices/system/cpu/cpu0/cache/index{i}/size").read().rstrip("K\n")) << 10 for i in range(4))
    except (OSError, ValueError):
        return 32 << 20


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever a library prints is no answer
flush, current, small = None, None, torch.ones(128, 128)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
torch.set_grad_enabled(False)
torch.backends.cudnn.allow_tf32 = False  # f32 is f32, as for matrix products
for line in sys.stdin:
    request = json.loads(line)
    try:
        if "case" in request:
            current = None
            current = Case(request)
            if flush is None:
                flush = torch.zeros(1 << 26, device="cuda") if current.cuda else torch.zeros(2 * last_level_cache() // 4)
            roles = request["outputs"]
            answer = {"ok": current.call is not None, "skips": [i for i in roles if i not in current.outputs],
                      "version": torch.__version__.split("+")[0]}
        elif "run" in request:
            current.run()
            answer = {"ok": True}
        else:
            answer = dict(zip(("seconds", "disturbed"), current.time(request["calls"], request["cold"])))
    except Exception as e:  # pylint: disable=broad-except
        answer = {"ok": False, "why": f"{type(e).__name__}: {e}".splitlines()[0]}
    print(json.dumps(answer), file=answers, flush=True)
