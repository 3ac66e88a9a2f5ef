#!/usr/bin/env python3
"""Writes a zip of small images for the study of the GPU bundle: the first images of each class of Fashion-MNIST.

    gpu_bundle_images.py OUT.zip [TRAIN_PER_CLASS TEST_PER_CLASS]
"""
import gzip
import pathlib
import struct
import sys
import zipfile
import zlib

PLACES = [pathlib.Path("../shared/data/fashion-mnist"), pathlib.Path("/usr/share/datasets/fashion-mnist"),
          pathlib.Path("/usr/share/dataset-fashion-mnist")]


def find(name):
    for folder in PLACES:
        for path in (folder / f"{name}.gz", folder / name):
            if path.exists():
                data = path.read_bytes()
                return gzip.decompress(data) if path.suffix == ".gz" else data
    found = next(pathlib.Path("/usr/share").glob(f"**/{name}*"), None)
    if not found:
        sys.exit("gpu-bundle: no Fashion-MNIST: apt-get install dataset-fashion-mnist")
    return gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()


def png(grey, width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + grey[y * width:(y + 1) * width] for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


out = sys.argv[1]
per_class = {"train": int(sys.argv[2]) if len(sys.argv) > 2 else 200, "test": int(sys.argv[3]) if len(sys.argv) > 3 else 100}
with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = find(f"{prefix}-images-idx3-ubyte")[16:], find(f"{prefix}-labels-idx1-ubyte")[8:]
        taken = [0] * 10
        for i, label in enumerate(labels):
            if taken[label] < per_class[split]:
                entry = zipfile.ZipInfo(f"{split}/class{label}/{taken[label]:03}.png")
                archive.writestr(entry, png(images[784 * i:784 * (i + 1)], 28, 28))
                taken[label] += 1
