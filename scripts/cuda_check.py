#!/usr/bin/env python3
"""Compiles every *_cuda.cu for sm_80 and sm_90a and fails on a spill, a local-memory array or wgmma that ptxas serialises (C75..);
with cuobjdump, also on machine code that touches registers of a wgmma under way (wgmma_check.py).

Says what the compiler made of the kernels; nothing runs, so it needs no GPU.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import wgmma_check

root = pathlib.Path(__file__).resolve().parent.parent
nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin")
if not nvcc:
    sys.exit("cuda-check: no nvcc in PATH or CUDA_HOME: expected CUDA Toolkit 13")


flags = re.search(r"GRAFT_NVCC_FLAGS ([^)]*)", (root / "cmake/cuda.cmake").read_text())[1].split()  # those of the build


def compile_one(job):
    path, arch = job
    with tempfile.NamedTemporaryFile(suffix=".cubin") as out:
        r = subprocess.run([nvcc, "-std=c++20", *flags, "-I.", f"-arch={arch}", "-cubin", "-Xptxas", "-v", "-o", out.name, str(path)],
                           cwd=root, capture_output=True, text=True)
        look = arch == "sm_90a" and wgmma_check.available and r.returncode == 0 and os.path.getsize(out.name)
        return path, arch, r.returncode, r.stdout + r.stderr, wgmma_check.check(out.name) if look else (0, [])


def short(name):
    name = subprocess.run(["c++filt", name], capture_output=True, text=True).stdout.strip()
    return re.sub(r"\(.*", "", name.split("(anonymous namespace)::")[1]) if "(anonymous" in name else name


sources = sorted(p.relative_to(root) for p in root.glob("kernels/**/*_cuda.cu"))
jobs = [(p, a) for p in sources for a in ("sm_80", "sm_90a")]
failures, kernels, asynchronous = [], 0, 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for path, arch, code, text, (count, lines) in pool.map(compile_one, jobs):
        asynchronous += count
        failures += [f"{path} {arch}: {short(line.split(':')[0])}:{line.split(':', 1)[1]}" for line in lines]
        if code:
            failures.append(f"{path} {arch}: does not compile\n{text}")
            continue
        for warning in sorted(set(re.findall(r"\(C75\d\d\)", text))):  # C7510, C7520: serialised; C7517: a wait is injected
            failures.append(f"{path} {arch}: ptxas could not leave wgmma as it is written {warning}")
        for name, stack, stores, loads in re.findall(
                r"Function properties for (\S+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text):
            kernels += 1
            if int(stack) or int(stores) or int(loads):
                failures.append(f"{path} {arch}: {short(name)}: {stack} bytes of local memory, {stores} bytes spilled")
print("\n".join(failures) or f"cuda-check: {len(sources)} files, {kernels} compiled kernels on sm_80 and sm_90a, no spill, no local memory")
print(f"{asynchronous} kernels with wgmma followed through their machine code" if wgmma_check.available
      else "not checked: registers of wgmma under way (no cuobjdump in PATH)")
sys.exit(bool(failures) or not kernels)
