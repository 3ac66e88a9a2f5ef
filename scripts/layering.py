#!/usr/bin/env python3
"""Rejects an include that goes up: kernels <- tensor <- nn <- transfer <- apps; io knows tensor only.

Also CUDA kernels that are compiled for the executor alone, or for the GPU alone: X_emu.cpp and X_cuda.cu stand side by side.
"""
import pathlib
import re
import sys

ALLOWED = {
    "kernels": {"kernels"},
    "tensor": {"kernels", "tensor"},
    "nn": {"kernels", "tensor", "nn"},
    "io": {"kernels", "tensor", "io"},
    "transfer": {"kernels", "tensor", "nn", "io", "transfer"},
    "apps": {"kernels", "tensor", "nn", "io", "transfer", "apps", "bench"},
}
root = pathlib.Path(__file__).resolve().parent.parent
bad = []
for room, allowed in ALLOWED.items():
    for path in sorted((root / room).rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh", ".def"}:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([a-z]+)/', line)
            if found and found[1] in set(ALLOWED) | {"tests", "bench"} and found[1] not in allowed:
                bad.append(f"{path.relative_to(root)}:{number}: {room} may not include {found[1]}")
for path in sorted((root / "kernels").glob("*/*_kernels.cuh")):
    for suffix in ("_emu.cpp", "_cuda.cu"):
        if not (twin := path.with_name(path.name.replace("_kernels.cuh", suffix))).exists():
            bad.append(f"{path.relative_to(root)}: no {twin.name} beside it")
print("\n".join(bad) or "layering: every include goes down, every kernel is compiled for emu and for cuda")
sys.exit(bool(bad))
