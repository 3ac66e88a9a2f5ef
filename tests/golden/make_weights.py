"""Writes weights/: tiny files by PyTorch, numpy and safetensors, and expected.txt with what they hold.

    python tests/golden/make_weights.py        (needs torch, numpy, safetensors; the tests do not)

expected.txt: file | name | dtype | sizes | bytes in hexadecimal, row-major, little endian.
evil*: pickles that would create a file named graft_was_here. Nobody may ever load them with pickle.load.
"""
import collections, io, json, os, pickle, warnings, zipfile
import numpy as np
import safetensors.torch
import torch

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "weights")
corpus = os.path.join(here, "..", "fuzz", "corpus")
lines = []
names = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.int32: "i32",
         torch.int64: "i64", torch.uint8: "u8", torch.bool: "u8"}


def expect(file, tensors):
    for name, t in tensors.items():
        raw = t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        lines.append("|".join([file, name, names[t.dtype], ",".join(map(str, t.shape)), raw.hex()]))


def save(file, obj, tensors, zipped):
    torch.save(obj, os.path.join(out, file), _use_new_zipfile_serialization=zipped)
    expect(file, tensors)


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(7)
    os.makedirs(out, exist_ok=True)
    both = torch.arange(12, dtype=torch.float32)
    tensors = collections.OrderedDict([
        ("conv.weight", torch.randn(2, 3, 2, 1)),
        ("half", torch.tensor([0.1, -65504.0, float("inf"), float("nan"), 6e-8]).half()),
        ("brain", torch.tensor([[1.5], [-3e38]]).bfloat16()),
        ("double", torch.tensor([1e-300, -2.0]).double()),
        ("num_batches_tracked", torch.tensor(12345678901)),
        ("int", torch.tensor([-1, 2**31 - 1], dtype=torch.int32)),
        ("byte", torch.tensor([0, 255], dtype=torch.uint8)),
        ("mask", torch.tensor([True, False, True])),
        ("empty", torch.empty(0, 3)),
        ("transposed", torch.randn(3, 2).t()),
        ("channels_last", torch.randn(1, 2, 2, 2).contiguous(memory_format=torch.channels_last)),
        ("shared.first", both[:4]),
        ("shared.strided", both[1::3]),
        ("expanded", torch.tensor([2.5]).expand(3, 2)),
        ("parameter", torch.nn.Parameter(torch.tensor([[-0.0]]))),
    ])
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).state_dict()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9).state_dict()
    nested = {"epoch": 3, "arch": "tiny", "best_prec1": 91.73, "optimizer": optimizer,
              "state_dict": collections.OrderedDict(("module." + k, v) for k, v in model.items())}
    tree = {"model": {"a": both[:2], "size": torch.Size([2])}, "layers": [both[2:3], "text", (both[3:5], None)], 7: both[5:]}
    flat = {"model.a": both[:2], "layers.0": both[2:3], "layers.2.0": both[3:5], "7": both[5:]}
    for zipped in (True, False):
        kind = "zip" if zipped else "legacy"
        save(f"state_{kind}.pth", tensors, tensors, zipped)
        save(f"nested_{kind}.th", nested, nested["state_dict"], zipped)
        save(f"tree_{kind}.pt", tree, flat, zipped)
        save(f"tensor_{kind}.pt", both[:5], {"tensor": both[:5]}, zipped)

        class Evil:
            def __reduce__(self):
                return os.system, ("touch graft_was_here",)

        torch.save({"state_dict": {"w": both}, "more": Evil()}, os.path.join(out, f"evil_{kind}.pth"),
                   _use_new_zipfile_serialization=zipped)
    for protocol in (2, 4):
        with open(os.path.join(out, f"evil_protocol{protocol}.pkl"), "wb") as f:
            pickle.dump(Evil(), f, protocol=protocol)
    with open(os.path.join(out, "evil_text.pkl"), "wb") as f:
        f.write(b"cos\nsystem\n(S'touch graft_was_here'\ntR.")

    # The same zip with deflated entries, as a re-packing tool leaves it.
    with zipfile.ZipFile(os.path.join(out, "nested_zip.th")) as a, \
            zipfile.ZipFile(os.path.join(out, "deflated_zip.th"), "w", zipfile.ZIP_DEFLATED) as b:
        for entry in a.infolist():
            b.writestr(zipfile.ZipInfo(entry.filename), a.read(entry), zipfile.ZIP_DEFLATED)
    expect("deflated_zip.th", nested["state_dict"])

    arrays = {"c_order": np.arange(6, dtype=np.float32).reshape(2, 3),
              "fortran": np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
              "half": np.array([0.5, np.nan], np.float16), "scalar": np.array(-7, np.int64),
              "int": np.array([[3], [-3]], np.int32), "byte": np.array([1, 2, 255], np.uint8),
              "flags": np.array([True, False]), "empty": np.zeros((0, 2), np.float32), "layer/weight": np.ones(3, np.float32)}
    as_tensors = {k: torch.from_numpy(np.ascontiguousarray(v).reshape(v.shape)) for k, v in arrays.items()}
    np.savez(os.path.join(out, "arrays.npz"), **arrays)
    np.savez_compressed(os.path.join(out, "arrays_compressed.npz"), **arrays)
    expect("arrays.npz", as_tensors)
    expect("arrays_compressed.npz", as_tensors)
    for version in ((1, 0), (2, 0), (3, 0)):
        file = f"version{version[0]}.npy"
        with open(os.path.join(out, file), "wb") as f:
            np.lib.format.write_array(f, arrays["fortran"], version=version)
        expect(file, {"arr_0": as_tensors["fortran"]})
    np.save(os.path.join(out, "evil_object.npy"), np.array([Evil()], dtype=object), allow_pickle=True)

    stored = {k: v.contiguous().clone() for k, v in tensors.items() if v.dtype != torch.bool}
    safetensors.torch.save_file(stored, os.path.join(out, "state.safetensors"), {"made by": "safetensors"})
    expect("state.safetensors", stored)

    with open(os.path.join(out, "expected.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")

    seeds = {"safetensors": ["state.safetensors"],
             "torch_zip": ["nested_zip.th", "deflated_zip.th", "tree_zip.pt", "evil_zip.pth"],
             "npz": ["arrays.npz", "arrays_compressed.npz", "version1.npy", "version2.npy", "version3.npy"],
             "pickle": ["state_legacy.pth", "nested_legacy.th", "tree_legacy.pt", "tensor_legacy.pt", "evil_legacy.pth",
                        "evil_protocol4.pkl"]}
    for target, files in seeds.items():
        os.makedirs(os.path.join(corpus, target), exist_ok=True)
        for file in files:
            with open(os.path.join(out, file), "rb") as a, open(os.path.join(corpus, target, file), "wb") as b:
                b.write(a.read())


main()
