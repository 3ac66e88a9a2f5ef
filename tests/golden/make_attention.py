"""Golden data of attention from PyTorch in float64, written to attention.safetensors beside this file and read by
tests/tensor/golden_ops_test.cpp and tests/kernels/attention_test.cpp.

    python tests/golden/make_attention.py        (needs torch, numpy and safetensors; the tests need none of them)

torch.nn.functional.scaled_dot_product_attention with a mask written out element by element, which no kernel of Graft does;
the causal case without other masks goes by is_causal. Every query sees a key here: PyTorch's answer for one that sees none has
changed between versions. Arrays are [batch, sequence, heads, head_dim]; names as in make_ops.py; params is causal, window,
scale (0: 1 / sqrt(head_dim)).
"""
import math
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
import torch
import torch.nn.functional as F

SEED = 22
torch.manual_seed(SEED)
tensors = {}


def normal(*shape, bf16=False):
    x = torch.randn(*shape, dtype=torch.float64).float()
    return (x.bfloat16() if bf16 else x).double()


def attend(q, k, v, causal, window, scale, lengths):
    queries, keys, group = q.shape[1], k.shape[1], q.shape[2] // k.shape[2]
    q, k, v = q.transpose(1, 2), *(t.transpose(1, 2).repeat_interleave(group, 1) for t in (k, v))
    scale = scale or 1 / math.sqrt(q.shape[-1])
    if causal and not window and lengths is None and queries == keys:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale).transpose(1, 2)
    mask = torch.ones(q.shape[0], 1, queries, keys, dtype=torch.bool)
    for b in range(q.shape[0]):
        for i in range(queries):
            for j in range(keys):
                place = i + keys - queries
                if (causal and j > place) or (window and abs(place - j) >= window) or (lengths is not None and j >= lengths[b]):
                    mask[b, 0, i, j] = False
    assert mask.any(-1).all()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).transpose(1, 2)


for n, (batch, queries, keys, heads, kv_heads, dim, causal, window, scale, lengths) in enumerate([
        (1, 1, 2, 1, 1, 4, 0, 0, 0, None), (2, 5, 7, 2, 2, 8, 0, 0, 0, None), (2, 9, 9, 2, 2, 16, 1, 0, 0, None),
        (1, 13, 13, 4, 2, 32, 1, 0, 0, None), (1, 3, 11, 3, 1, 5, 1, 0, 0.7, None), (2, 10, 10, 2, 1, 8, 0, 3, 0, None),
        (1, 17, 17, 2, 2, 8, 1, 4, 0, None), (3, 6, 8, 2, 2, 8, 0, 0, 0, [8, 1, 5]), (2, 7, 7, 4, 1, 16, 1, 0, 0, [7, 3]),
        (1, 50, 50, 1, 1, 4, 1, 0, 0, None),
        # Inputs that are exact in bf16, for head sizes of the tensor cores.
        (1, 9, 20, 3, 1, 32, 1, 0, 0, None), (1, 7, 18, 2, 1, 64, 1, 0, 0.2, None), (2, 3, 9, 1, 1, 64, 0, 0, 0, [9, 4]),
        (1, 4, 11, 1, 1, 128, 1, 5, 0, None)]):
    bf16 = n >= 10
    inputs = {"q": normal(batch, queries, heads, dim, bf16=bf16), "k": normal(batch, keys, kv_heads, dim, bf16=bf16),
              "v": normal(batch, keys, kv_heads, dim, bf16=bf16)}
    leaves = {what: t.requires_grad_() for what, t in inputs.items()}
    y = attend(*leaves.values(), causal, window, scale, lengths)
    dy = normal(*y.shape, bf16=bf16)
    y.backward(dy)
    case = f"attention/{n}"
    tensors[f"{case}/params"] = np.array([causal, window, scale], dtype=np.float64)
    if lengths is not None:
        tensors[f"{case}/lengths"] = np.array(lengths, dtype=np.int64)
    for what, t in leaves.items():
        tensors[f"{case}/{what}"], tensors[f"{case}/d{what}"] = t.detach().float().numpy(), t.grad.numpy()
    tensors[f"{case}/y"], tensors[f"{case}/dy"] = y.detach().numpy(), dy.float().numpy()

path = pathlib.Path(__file__).with_name("attention.safetensors")
safetensors.numpy.save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path,
                            {"made": f"tests/golden/make_attention.py, seed {SEED}, torch {torch.__version__}, "
                                     f"numpy {np.__version__}, safetensors {safetensors.__version__}"})
print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")
