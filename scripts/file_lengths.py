#!/usr/bin/env python3
"""Reports source files over 400 lines and fails over 600 (exceptions stand in docs/decisions.md)."""
import pathlib
import statistics
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
names = subprocess.run(["git", "ls-files", "*.h", "*.cpp", "*.cuh", "*.cu", "*.py"], cwd=root, check=True,
                       capture_output=True, text=True).stdout.split()
excused = (root / "docs/decisions.md").read_text() if (root / "docs/decisions.md").exists() else ""
lengths = {n: len((root / n).read_text().splitlines()) for n in names if (root / n).exists()}
for name, length in sorted(lengths.items(), key=lambda x: -x[1]):
    if length > 400:
        print(f"{length:5d}  {name}{'  (too long: split)' if length > 600 else ''}")
print(f"{len(lengths)} files, median {statistics.median(lengths.values()):.0f} lines")
sys.exit(any(length > 600 and name not in excused for name, length in lengths.items()))
