#!/usr/bin/env python3
"""Runs everything that a GPU is needed for, by priority, each step within its own time, eight minutes in all.

    OUT=FOLDER gpu-bundle/run [STEP...]        results: at most eight JSON files in OUT (default: results/ here)

A step that cannot run says why: "not run: no device". Exit code 1 when a step failed.
"""
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
OUT = pathlib.Path(os.environ.get("OUT") or HERE / "results").resolve()
BIN = HERE / "bin"
TOTAL_SECONDS = 480
STARTED = time.monotonic()
COMMIT = (HERE / "commit").read_text().strip() if (HERE / "commit").exists() else "unknown"


def left():
    return TOTAL_SECONDS - (time.monotonic() - STARTED)


def execute(command, limit, **environment):
    """(exit code or "timeout", output, errors)"""
    env = {**os.environ, **environment}
    try:
        r = subprocess.run([str(c) for c in command], cwd=HERE, env=env, capture_output=True, text=True, errors="replace",
                           timeout=max(1, min(limit, left())))
        return r.returncode, r.stdout, r.stderr
    except subprocess.TimeoutExpired as e:
        text = [t.decode(errors="replace") if isinstance(t, bytes) else t or "" for t in (e.stdout, e.stderr)]
        return "timeout", *text


def write(name, content):
    OUT.mkdir(parents=True, exist_ok=True)
    head = {"commit": COMMIT, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "device": DEVICE}
    (OUT / f"{name}.json").write_text(json.dumps({**head, **content}, indent=1) + "\n")


def last_line(text):
    return ([line for line in text.splitlines() if line.strip()] or [""])[-1].strip()[:500]


def find_device():
    code, out, errors = execute([BIN / "graft", "devices", "--json"], 60)
    if code != 0:
        return None, f"graft devices: {last_line(errors)}"
    all_devices = json.loads(out)
    for d in all_devices["devices"]:
        if d["name"].startswith("cuda"):
            return d, ""
    return None, all_devices.get("why_no_cuda", "this bundle has no CUDA kernels")


def doctest_cases(pattern, limit, prefix=(), **environment):
    """Test cases that match, with what failed of each; {} where the program died, and the reason."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as xml:
        code, out, errors = execute([*prefix, BIN / "test_kernels", f"-tc={pattern}", "-r=xml", f"-o={xml.name}"], limit, **environment)
        text = pathlib.Path(xml.name).read_text(errors="replace")
    try:
        root = ET.fromstring(text)
    except ET.ParseError:  # died on the way: what is complete still counts
        cut = text.rfind("</TestCase>")
        root = ET.fromstring(text[:cut] + "</TestCase></TestSuite></doctest>") if cut > 0 else ET.Element("doctest")
    cases = {}
    for case in root.iter("TestCase"):
        if case.get("skipped") == "true":
            continue
        result = case.find("OverallResultsAsserts")
        if result is None:
            continue
        failures = [re.sub(r"\s+", " ", " ".join(e.itertext()))[:300] for e in [*case.iter("Expression"), *case.iter("Message")]]
        cases[case.get("name")] = {"passed": result.get("failures") == "0" and result.get("test_case_success") == "true",
                                   "checks": int(result.get("successes")) + int(result.get("failures")), "failures": failures[:5]}
    return code, cases, last_line(errors or out)


def conformance(limit):
    vectors = OUT / "vectors.json"
    OUT.mkdir(parents=True, exist_ok=True)
    code, wrappers, why = doctest_cases("conformance*", limit / 4, GRAFT_CONFORMANCE=str(vectors))
    code, cases, why = doctest_cases("cuda *", 3 * limit / 4)
    ops = {name[5:]: c for name, c in cases.items() if name.startswith("cuda ") and ":" not in name and name[5:] in op_names()}
    write("conformance", {"wrappers": wrappers, "ops": ops, "exit": code, "last": why})
    good = [n for n, c in ops.items() if c["passed"]]
    return code == 0, f"{len(good)} of {len(op_names())} ops pass" + ("" if code == 0 else f"; {why}")


def op_names():
    code, out, _ = execute([BIN / "test_kernels", "-ltc"], 30)
    return {line[6:] for line in out.splitlines() if line.startswith("cases ")}


def sanitizer(limit):
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if not tool:
        return None, "no compute-sanitizer"
    code, out, errors = execute([tool, "--error-exitcode=9", "--print-limit=20", BIN / "test_kernels", "-tc=cuda *"], limit,
                                GRAFT_TIER="smoke")
    found = [line for line in (out + errors).splitlines() if line.startswith("=========")]
    write("sanitizer", {"exit": code, "report": found[:200]})
    return code == 0, last_line("\n".join(found)) or f"exit {code}"


def benchmark(limit):
    program = [BIN / "graft_bench"] if (BIN / "graft_bench").exists() else [BIN / "graft", "bench"]
    code, out, errors = execute([*program, "all", "--device", "cuda", "--json", "--seconds", "0.1"], limit)
    rows = [json.loads(line) for line in out.splitlines() if line.startswith("{") and line.endswith("}")]
    write("bench", {"exit": code, "rows": rows, "last": last_line(errors)})
    return code == 0 and bool(rows), f"{len(rows)} rows" if rows else last_line(errors)


def study(limit):
    with tempfile.TemporaryDirectory() as folder:
        code, out, errors = execute([BIN / "graft", "study", "study.toml", "--device", "cuda", "--out", folder, "--json"], limit)
    result = json.loads(out) if code == 0 else {"error": last_line(errors)}
    write("study", {"exit": code, "result": result})
    return code == 0, f"{result.get('cells')} cells in {result.get('seconds', 0):.1f} s" if code == 0 else result["error"]


def pytorch(limit):
    code, out, errors = execute([sys.executable, "-c", "import torch; assert torch.cuda.is_available(); print(torch.__version__)"], 60)
    if code != 0:
        return None, f"no PyTorch with CUDA in {sys.executable}"
    version = out.strip()
    results = {}
    for script in sorted((HERE / "baselines").glob("*_cuda.py")):
        code, out, errors = execute([sys.executable, script], limit)
        results[script.stem] = {"exit": code, "rows": [json.loads(s) for s in out.splitlines() if s.startswith("{")],
                                "last": last_line(errors)}
    write("pytorch", {"torch": version, "baselines": results})
    return all(r["exit"] == 0 for r in results.values()), f"{len(results)} baselines, torch {version}"


STEPS = [("conformance", conformance, 150), ("sanitizer", sanitizer, 90), ("benchmark", benchmark, 150), ("study", study, 60),
         ("pytorch", pytorch, 90)]

if __name__ == "__main__":
    wanted = sys.argv[1:] or [name for name, _, _ in STEPS]
    unknown = set(wanted) - {name for name, _, _ in STEPS}
    if unknown:
        sys.exit(f"run: no step {', '.join(sorted(unknown))}: expected {', '.join(n for n, _, _ in STEPS)}")
    DEVICE, why = find_device()
    print(f"commit {COMMIT}, device: {DEVICE['model'] if DEVICE else why}", flush=True)
    summary, failed = {}, False
    for name, step, limit in STEPS:
        if name not in wanted:
            continue
        began = time.monotonic()
        if not DEVICE:
            good, text = None, f"no device ({why})"
        elif left() < 10:
            good, text = None, "no time left"
        else:
            try:
                good, text = step(min(limit, left()))
            except Exception as e:  # one step must not take the others with it
                good, text = False, f"{type(e).__name__}: {e}"
        state = {True: "done", False: "FAILED", None: "not run"}[good]
        failed |= good is False
        summary[name] = {"state": state, "text": text, "seconds": round(time.monotonic() - began, 1)}
        print(f"{name}: {state}: {text}" + (f" ({summary[name]['seconds']} s)" if good is not None else ""), flush=True)
    write("summary", {"steps": summary, "seconds": round(time.monotonic() - STARTED, 1)})
    sys.exit(1 if failed else 0)
