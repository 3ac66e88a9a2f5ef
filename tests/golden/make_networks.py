"""Writes networks.txt: what PyTorch computes, in float64, for networks of nn/models on numbers that both sides can make.

Weights, images and labels are functions of integers (hash below; the same in tests/nn/golden_networks_test.cpp), so the file
holds results only: losses of SGD steps and, of the first step, a projection and the norm of every gradient. All indices run
over Graft's layouts: images NHWC, filters [out, h, w, in], flattened features H, W, C.
Made with PyTorch 2.15.0, numpy 2.4.6; run: python make_networks.py > networks.txt
"""
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


def run(name, build, size, classes, batch, steps):
    net = Net()
    forward = build(net, classes)
    params = net.p.tensors
    optimizer = torch.optim.SGD(params.values(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    print("network", name, size, classes, batch, steps)
    for step in range(steps):
        x = torch.from_numpy(uniform(batch * size * size * 3, 1000 + step).reshape(batch, size, size, 3) * 4)
        labels = torch.tensor([(3 * i + step) % classes for i in range(batch)])
        loss = F.cross_entropy(forward(x.permute(0, 3, 1, 2)), labels)
        print("loss", repr(loss.item()))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for key, t in params.items():
                g = t.grad.numpy().ravel()
                print("gradient", key, repr(float(g @ uniform(g.size, 7))), repr(float(np.sqrt(g @ g))))
        optimizer.step()
    for key, t in net.p.buffers.items():
        b = t.numpy()
        print("buffer", key, repr(float(b @ uniform(b.size, 7))), repr(float(np.sqrt(b @ b))))


run("study_cnn", study_cnn, 32, 10, 6, 20)
run("resnet20", resnet20, 16, 10, 4, 10)
run("alexnet", alexnet, 67, 5, 2, 1)
