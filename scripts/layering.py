#!/usr/bin/env python3
"""Rejects an include that goes up: kernels <- tensor <- nn <- transfer <- apps; io knows tensor only."""
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
print("\n".join(bad) or "layering: every include goes down")
sys.exit(bool(bad))
