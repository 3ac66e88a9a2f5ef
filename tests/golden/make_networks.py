"""Writes networks.txt: what PyTorch computes, in float64, for networks of nn/models on numbers that both sides can make.

Weights, images, token ids and labels are functions of integers (hash below; the same in tests/nn/golden_networks_test.cpp), so
the file holds results only: losses of SGD steps and, of the first step, a projection and the norm of the logits and of every
gradient. All indices run over Graft's layouts: images NHWC, filters [out, h, w, in], flattened features H, W, C. The blocks of
the transformers are torch.nn.TransformerEncoderLayer.
Made with PyTorch 2.15.0, numpy 2.4.6; run: python make_networks.py > networks.txt
"""
import functools

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def uniform(n, salt):
    """n numbers in [-1/2, 1/2): murmur3's finaliser of index + 2^20 salt."""
    h = (np.arange(n, dtype=np.uint64) + np.uint64(salt << 20)) & np.uint64(0xFFFFFFFF)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(16)
    return h.astype(np.float64) / 2.0**32 - 0.5


class Parameters:
    def __init__(self):
        self.tensors = {}  # name -> (leaf in Graft's layout)
        self.buffers = {}

    def add(self, name, shape, kind):
        n = int(np.prod(shape))
        u = uniform(n, len(self.tensors))
        if kind == "weight":
            u = u * (2 * np.sqrt(6 / (n / shape[0])))
        elif kind == "bias":
            u = u * 0.2
        else:  # a norm's weight
            u = u * 0.2 + 1
        t = torch.from_numpy(u.reshape(shape)).clone().requires_grad_(True)
        self.tensors[name] = t
        return t


class Net:
    def __init__(self):
        self.p = Parameters()

    def conv(self, name, cin, cout, k, bias=True, groups=1, **options):
        w = self.p.add(name + ".weight", (cout, k, k, cin // groups), "weight")
        b = self.p.add(name + ".bias", (cout,), "bias") if bias else None
        return lambda x: F.conv2d(x, w.permute(0, 3, 1, 2), b, groups=groups, **options)

    def fc(self, name, nin, nout):
        w = self.p.add(name + ".weight", (nout, nin), "weight")
        b = self.p.add(name + ".bias", (nout,), "bias")
        return lambda x: F.linear(x, w, b)

    def bn(self, name, c):
        w, b = self.p.add(name + ".weight", (c,), "norm"), self.p.add(name + ".bias", (c,), "bias")
        mean, var = torch.zeros(c), torch.ones(c)
        self.p.buffers[name + ".running_mean"], self.p.buffers[name + ".running_var"] = mean, var
        return lambda x: F.batch_norm(x, mean, var, w, b, True, 0.1, 1e-5)

    def ln(self, name, c, eps):
        w, b = self.p.add(name + ".weight", (c,), "norm"), self.p.add(name + ".bias", (c,), "bias")
        return lambda x: F.layer_norm(x, (c,), w, b, eps)

    def table(self, name, rows, dim):
        return self.p.add(name + ".weight", (rows, dim), "weight")

    def transformer(self, dim, heads, hidden, names, eps, activation, norm_first):
        """names: of norm1, qkv, out, norm2, expand, contract."""
        layer = torch.nn.TransformerEncoderLayer(dim, heads, hidden, 0.0, activation, eps, True, norm_first)
        shapes = dict(zip(("norm1", "self_attn.in_proj_", "self_attn.out_proj", "norm2", "linear1", "linear2"),
                          ((dim,), (3 * dim, dim), (dim, dim), (dim,), (hidden, dim), (dim, hidden))))
        weights = {}
        for (theirs, shape), ours in zip(shapes.items(), names):
            dot = "" if theirs.endswith("_") else "."
            weights[theirs + dot + "weight"] = self.p.add(ours + ".weight", shape, "weight" if len(shape) == 2 else "norm")
            weights[theirs + dot + "bias"] = self.p.add(ours + ".bias", shape[:1], "bias")
        return lambda x, **masks: torch.func.functional_call(layer, weights, (x,), masks)


def flatten(x):
    return x.permute(0, 2, 3, 1).flatten(1)


def study_cnn(net, classes):
    convs = [net.conv("conv%d" % (i + 1), a, b, 3, padding=1) for i, (a, b) in enumerate([(3, 16), (16, 32), (32, 48), (48, 48)])]
    fcs = [net.fc("fc5", 768, 128), net.fc("fc6", 128, 64), net.fc("fc7", 64, classes)]

    def forward(x):
        for i, c in enumerate(convs):
            x = F.relu(c(x))
            x = x if i == 2 else F.max_pool2d(x, 2)
        return fcs[2](F.relu(fcs[1](F.relu(fcs[0](flatten(x))))))

    return forward


def alexnet(net, classes):
    convs = [net.conv("conv1", 3, 96, 11, stride=4), net.conv("conv2", 96, 256, 5, padding=2, groups=2),
             net.conv("conv3", 256, 384, 3, padding=1), net.conv("conv4", 384, 384, 3, padding=1, groups=2),
             net.conv("conv5", 384, 256, 3, padding=1, groups=2)]
    fcs = [net.fc("fc6", 256, 4096), net.fc("fc7", 4096, 4096), net.fc("fc8", 4096, classes)]

    def forward(x):  # evaluation: without dropout
        for i, c in enumerate(convs):
            x = F.relu(c(x))
            if i in (0, 1, 4):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            if i in (0, 1):
                x = F.local_response_norm(x, 5, 1e-4, 0.75, 1)
        return fcs[2](F.relu(fcs[1](F.relu(fcs[0](flatten(x))))))

    return forward


def resnet20(net, classes):
    stem, stem_bn = net.conv("conv1", 3, 16, 3, False, padding=1), net.bn("bn1", 16)
    blocks, cin = [], 16
    for stage in range(3):
        for i in range(3):
            cout = 16 << stage
            stride = 1 if cin == cout else 2
            name = "layer%d.%d." % (stage + 1, i)
            blocks.append((net.conv(name + "conv1", cin, cout, 3, False, stride=stride, padding=1), net.bn(name + "bn1", cout),
                           net.conv(name + "conv2", cout, cout, 3, False, padding=1), net.bn(name + "bn2", cout), stride, cout - cin))
            cin = cout
    head = net.fc("linear", 64, classes)

    def forward(x):
        x = F.relu(stem_bn(stem(x)))
        for c1, b1, c2, b2, stride, more in blocks:
            short = x if stride == 1 else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more // 2))
            x = F.relu(b2(c2(F.relu(b1(c1(x))))) + short)
        return head(x.mean((2, 3)))

    return forward


def resnet(bottleneck, net, classes, width=8, blocks=(2, 1, 1, 1)):
    """For ImageNet, with 8 channels in the stem instead of 64."""
    stem, stem_bn = net.conv("conv1", 3, width, 7, False, stride=2, padding=3), net.bn("bn1", width)
    layers, cin = [], width
    for stage, count in enumerate(blocks):
        for i in range(count):
            cout = (width << stage) * (4 if bottleneck else 1)
            stride = 2 if stage > 0 and i == 0 else 1
            name = "layer%d.%d." % (stage + 1, i)
            inner = cout // 4
            plan = [(cin, inner, 1, 1), (inner, inner, 3, stride), (inner, cout, 1, 1)] if bottleneck else [(cin, cout, 3, stride), (cout, cout, 3, 1)]
            body = [(net.conv(name + "conv%d" % (k + 1), a, b, size, False, stride=s, padding=size // 2), net.bn(name + "bn%d" % (k + 1), b))
                    for k, (a, b, size, s) in enumerate(plan)]
            short = None
            if stride != 1 or cin != cout:
                short = (net.conv(name + "downsample.0", cin, cout, 1, False, stride=stride), net.bn(name + "downsample.1", cout))
            layers.append((body, short))
            cin = cout
    head = net.fc("fc", cin, classes)

    def forward(x):
        x = F.max_pool2d(F.relu(stem_bn(stem(x))), 3, 2, 1)
        for body, short in layers:
            y = x
            for k, (conv, bn) in enumerate(body):
                y = bn(conv(F.relu(y) if k else y))
            x = F.relu(y + (short[1](short[0](x)) if short else x))
        return head(x.mean((2, 3)))

    return forward


def gpt2(net, vocabulary, dim=32, layers=2, context=16):
    wte, wpe = net.table("wte", vocabulary, dim), net.table("wpe", context, dim)
    gelu = functools.partial(F.gelu, approximate="tanh")
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    blocks = [net.transformer(dim, 4, 4 * dim, ["h.%d.%s" % (i, part) for part in parts], 1e-5, gelu, True) for i in range(layers)]
    ln_f = net.ln("ln_f", dim, 1e-5)

    def forward(ids):
        tokens = ids.shape[1]
        causal = torch.full((tokens, tokens), -torch.inf).triu(1)
        x = wte[ids] + wpe[:tokens]
        for block in blocks:
            x = block(x, src_mask=causal)
        return ln_f(x) @ wte.T

    return forward


def bert(net, classes, vocabulary=37, dim=32, layers=2, context=16):
    words, positions, types = (net.table("embeddings." + name, n, dim) for name, n in
                               (("word_embeddings", vocabulary), ("position_embeddings", context), ("token_type_embeddings", 2)))
    norm = net.ln("embeddings.LayerNorm", dim, 1e-12)
    parts = ("attention.output.LayerNorm", "attention.self.qkv", "attention.output.dense", "output.LayerNorm", "intermediate.dense",
             "output.dense")
    blocks = [net.transformer(dim, 4, 4 * dim, ["encoder.layer.%d.%s" % (i, part) for part in parts], 1e-12, F.gelu, False)
              for i in range(layers)]
    pooler, classifier = net.fc("pooler.dense", dim, dim), net.fc("classifier", dim, classes)

    def forward(ids, lengths):
        padding = torch.arange(ids.shape[1]) >= lengths[:, None]
        x = norm(words[ids] + positions[: ids.shape[1]] + types[0])
        for block in blocks:
            x = block(x, src_key_padding_mask=padding)
        return classifier(torch.tanh(pooler(x[:, 0])))

    return forward


def print_summary(kind, name, t):
    v = t.detach().numpy().ravel()
    print(kind, name, repr(float(v @ uniform(v.size, 7))), repr(float(np.sqrt(v @ v))))


def run(name, build, size, classes, batch, steps, vocabulary=0):
    net = Net()
    forward = build(net, classes)
    params = net.p.tensors
    optimizer = torch.optim.SGD(params.values(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    print("network", name, size, classes, batch, steps)
    for step in range(steps):
        if vocabulary:
            ids = torch.from_numpy(((uniform(batch * size, 1000 + step) + 0.5) * vocabulary).astype(np.int64).reshape(batch, size))
            lengths = torch.tensor([(3 * i + step) % size + 1 for i in range(batch)])
            logits = forward(ids, lengths) if name == "encoder" else forward(ids).flatten(0, 1)
        else:
            x = torch.from_numpy(uniform(batch * size * size * 3, 1000 + step).reshape(batch, size, size, 3) * 4)
            logits = forward(x.permute(0, 3, 1, 2))
        labels = torch.tensor([(3 * i + step) % classes for i in range(len(logits))])
        loss = F.cross_entropy(logits, labels)
        if step == 0:
            print_summary("logits", name, logits)
        print("loss", repr(loss.item()))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for key, t in params.items():
                print_summary("gradient", key, t.grad)
        optimizer.step()
    for key, t in net.p.buffers.items():
        print_summary("buffer", key, t)


run("study_cnn", study_cnn, 32, 10, 6, 20)
run("resnet20", resnet20, 16, 10, 4, 10)
run("alexnet", alexnet, 67, 5, 2, 1)
run("resnet_basic", functools.partial(resnet, False), 64, 10, 4, 10)
run("resnet_bottleneck", functools.partial(resnet, True), 64, 10, 4, 10)
run("gpt2", gpt2, 9, 37, 3, 10, vocabulary=37)
run("encoder", bert, 7, 3, 4, 10, vocabulary=37)
