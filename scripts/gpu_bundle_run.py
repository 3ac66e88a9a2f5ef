#!/usr/bin/env python3
"""Runs everything that a GPU is needed for, by priority, each step within its own time, eight minutes in all.

    OUT=FOLDER gpu-bundle/run [STEP...]        results: at most eight JSON files in OUT (default: results/ here)

A step that cannot run says why: "not run: no device". Exit code 1 when a step failed.
"""
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
OUT = pathlib.Path(os.environ.get("OUT") or HERE / "results").resolve()
BIN = HERE / "bin"
TOTAL_SECONDS = 480
STARTED = time.monotonic()
COMMIT = (HERE / "commit").read_text().strip() if (HERE / "commit").exists() else "unknown"
LIBRARIES = None  # set below
PROCESSES = max(1, (os.cpu_count() or 2) // 2)  # the oracle of a test computes on the host


def library_path():
    """Folders of cuBLAS and cuDNN: of the toolkit, and of python3's packages."""
    code = "import site, sys; print(*site.getsitepackages(), *sys.path, sep='\\n')"
    places = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    found = [str(f) for p in dict.fromkeys(places) for f in sorted(pathlib.Path(p).glob("nvidia/*/lib"))]
    return ":".join([*filter(None, [os.environ.get("LD_LIBRARY_PATH")]), *found, "/usr/local/cuda/lib64"])


def left():
    return TOTAL_SECONDS - (time.monotonic() - STARTED)


def execute(command, limit, **environment):
    """(exit code or "timeout", output, errors)"""
    env = {**os.environ, "LD_LIBRARY_PATH": LIBRARIES, **environment}
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


def doctest_cases(program, pattern, limit, **environment):
    """The exit code, and of each test case that matches: passed, checks, what failed. A case that died on the way is missing."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as xml:
        code, out, errors = execute([BIN / program, f"-tc={pattern}", "-r=xml", f"-o={xml.name}"], limit, **environment)
        text = pathlib.Path(xml.name).read_text(errors="replace")
    try:
        root = ET.fromstring(text)
    except ET.ParseError:  # died on the way: what is complete still counts
        cut = text.rfind("</TestCase>")
        root = ET.fromstring(text[:cut] + "</TestCase></TestSuite></doctest>") if cut > 0 else ET.Element("doctest")
    cases = {}
    for case in root.iter("TestCase"):
        result = case.find("OverallResultsAsserts")
        if case.get("skipped") == "true" or result is None:
            continue
        said = [re.sub(r"\s+", " ", " ".join(e.itertext())) for e in [*case.iter("Expression"), *case.iter("Message"), *case.iter("Exception")]]
        checks = int(result.get("successes")) + int(result.get("failures"))  # none: a test that says NOT RUN
        cases[case.get("name")] = {"passed": checks > 0 and result.get("failures") == "0" and result.get("test_case_success") == "true",
                                   "checks": checks,
                                   "failures": [s[:400] for s in said if "NOT RUN" not in s][:4]}
    return code, cases, last_line(errors or out)


def op_names():
    code, out, _ = execute([BIN / "test_kernels", "-ltc"], 30)
    return sorted(line[6:] for line in out.splitlines() if re.fullmatch(r"cases \w+", line))


def conformance_names():
    code, out, _ = execute([BIN / "test_kernels", "-ltc"], 30)
    return [line for line in out.splitlines() if line.startswith("conformance: ")]


def within(until):
    return min(60, until - time.monotonic())


def test_wrappers(name, until):
    """One test case of conformance in a process of its own, and what it recorded."""
    with tempfile.NamedTemporaryFile(suffix=".json") as records:
        code, cases, why = doctest_cases("test_kernels", name, within(until), GRAFT_CUDA_SYNC="1", GRAFT_CONFORMANCE=records.name)
        recorded = pathlib.Path(records.name).read_text()
    result = cases.get(name, {"passed": False, "checks": 0, "failures": [f"exit {code}: {why}"]})
    return result, json.loads(recorded) if recorded else []


def test_op(op, until, version=None):
    """One op in a process of its own: a kernel that fails takes the process with it. Then version by version, to know which."""
    environment = {"GRAFT_CUDA_SYNC": "1", "GRAFT_THREADS": "2", **({} if version is None else {"GRAFT_CASES_VERSION": str(version)})}
    code, cases, last = doctest_cases("test_kernels", f"cuda {op}", within(until), **environment)
    result = cases.get(f"cuda {op}", {"passed": False, "checks": 0, "failures": [f"exit {code}: {last}"]})
    if version is None and not result["passed"] and code != "timeout":
        result["versions"] = {v: r for v in range(1, 20) if (r := test_op(op, until, v))["checks"] or not r["passed"]}
    return result


def kernels(limit):
    OUT.mkdir(parents=True, exist_ok=True)
    names, families, until = op_names(), conformance_names(), time.monotonic() + limit
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        conformance = list(pool.map(lambda name: test_wrappers(name, until), families))
        ops = dict(zip(names, pool.map(lambda name: test_op(name, until), names)))
    wrappers = dict(zip(families, (result for result, _ in conformance)))
    (OUT / "vectors.json").write_text(json.dumps([record for _, records in conformance for record in records], indent=0) + "\n")
    code, training, why = doctest_cases("test_nn", "cuda*", within(until))
    if code != 0 and all(r["passed"] for r in training.values()):  # what hung, or died, is missing
        training["test_nn"] = {"passed": False, "checks": 0, "failures": [f"exit {code}: {why}"]}
    write("kernels", {"wrappers": wrappers, "ops": ops, "training": training})
    bad = [n for n, r in {**wrappers, **ops, **training}.items() if not r["passed"]]
    for n, r in {**wrappers, **ops, **training}.items():
        if not r["passed"]:
            print(f"  {n}: {r['failures'][:2]}")
            for v, version in r.get("versions", {}).items():
                print(f"    version {v}: {'passed' if version['passed'] else version['failures'][:2]}")
    good = bool(wrappers and ops and training) and not bad
    return good, f"{len(ops) - len(set(bad) & set(ops))} of {len(ops)} ops pass" + (f"; not: {', '.join(bad)}" if bad else "")


def sanitizer(limit):
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if not tool:
        return None, "no compute-sanitizer"

    def check(op):
        code, out, errors = execute([tool, "--error-exitcode=9", "--print-limit=20", BIN / "test_kernels", f"-tc=cuda {op}"], limit,
                                    GRAFT_TIER="smoke")
        return {"exit": code, "report": [line for line in (out + errors).splitlines() if line.startswith(("========= ", "[doctest] assertions"))][:60]}

    names = op_names()
    with concurrent.futures.ThreadPoolExecutor(PROCESSES) as pool:
        ops = dict(zip(names, pool.map(check, names)))
    write("sanitizer", {"ops": ops})
    bad = [n for n, r in ops.items() if r["exit"] != 0]
    for n in bad:
        print(f"  {n}: exit {ops[n]['exit']}: {' | '.join(ops[n]['report'][1:6])}")
    return not bad, f"{len(ops) - len(bad)} of {len(ops)} ops clean" + (f"; not: {', '.join(bad)}" if bad else "")


# By priority. Matrix products hot, as in the middle of a network; what is bound by memory cold.
BENCHMARKS = [line.split("|") for line in """
linear|--suite|gpt2/train|--dtype|bf16|--shape|in=768 out=3072|--cache|hot
linear|--suite|gpt2/train|--dtype|bf16|--shape|in=3072|--cache|hot
linear|--suite|gpt2/train|--dtype|bf16|--shape|in=768 out=2304|--cache|hot
linear|--suite|gpt2/train|--dtype|bf16|--shape|=rows=8192 in=768 out=768|--cache|hot
attention|--suite|gpt2/train|--dtype|bf16|--cache|hot
layer_norm|--suite|gpt2/train|--dtype|bf16|--cache|cold
adamw|--suite|gpt2/train|--cache|cold
batch_norm|--suite|resnet50/train|--dtype|bf16|--shape|channels=256|--cache|cold
conv2d|--suite|resnet50/train|--dtype|bf16|--shape|kernel=3x3 stride=1|--cache|hot
linear|--suite|gpt2/train|--shape|in=768 out=3072|--cache|hot
matmul|--suite|basic|--dtype|bf16|--ladder|--shape|=batch=1 m=1024 n=1024 k=1024 nt|--cache|hot
matmul|--suite|basic|--ladder|--shape|=batch=1 m=1024 n=1024 k=1024 nt|--cache|hot
max_pool2d|--suite|resnet50/train|--dtype|bf16|--cache|cold
embedding|--suite|gpt2/train|--dtype|bf16|--cache|cold
conv2d|--suite|resnet50/train|--dtype|bf16|--shape|kernel=1x1 stride=1|--cache|hot
conv2d|--suite|resnet50/train|--dtype|bf16|--shape|stride=2|--cache|hot
cross_entropy|--suite|gpt2/train|--dtype|bf16|--cache|cold
linear|--suite|gpt2/train|--shape|in=768 out=3072|--cache|hot|--ladder|--engines|graft
""".strip().splitlines()]


def benchmark(limit):
    """Rows as `graft bench --out` writes them, of cuBLASLt, cuDNN and PyTorch too; tables of them: `graft bench --table`."""
    rows, failed, began = [], [], time.monotonic()
    for arguments in BENCHMARKS:
        remaining = limit - (time.monotonic() - began)
        if remaining < 5:
            failed.append("no time left for " + " ".join(arguments))
            continue
        pytorch = {"GRAFT_PYTORCH": sys.executable} if arguments[0] in ("attention", "layer_norm", "batch_norm") else {}
        code, out, errors = execute([BIN / "graft_bench", *arguments, "--device", "cuda", "--json", "--seconds", "0.02",
                                     "--reference-gflop", "0.02"], min(remaining, 45), **pytorch)
        rows += [line for line in out.splitlines() if line.startswith("{") and line.endswith("}")]
        wrong = [line for line in errors.splitlines() if line.startswith(("WRONG", "failed"))]
        if code != 0 or wrong:
            failed.append(f"{' '.join(arguments)}: exit {code}: {(wrong or [last_line(errors)])[0][:300]}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "bench.jsonl").write_text("".join(row + "\n" for row in rows))
    for f in failed:
        print(f"  {f}")
    return not failed and bool(rows), f"{len(rows)} rows" + (f", {len(failed)} commands failed" if failed else "")


def study(limit):
    with tempfile.TemporaryDirectory() as folder:
        code, out, errors = execute([BIN / "graft", "study", "study.toml", "--device", "cuda", "--out", folder, "--json"], limit)
    result = json.loads(out) if code == 0 else {"error": last_line(errors)}
    write("study", {"exit": code, "result": result})
    return code == 0, f"{result.get('cells')} cells in {result.get('seconds', 0):.1f} s" if code == 0 else result["error"]


def steps(limit):
    """Training steps beside PyTorch's, eager and compiled."""
    code, out, errors = execute([sys.executable, "-c", "import torch; assert torch.cuda.is_available(); print(torch.__version__)"], 60)
    if code != 0:
        return None, f"no PyTorch with CUDA in {sys.executable}"
    results, failed = {}, []
    # The sizes at which these models are trained on such a GPU.
    for model, size in (("gpt2_124m", ["--batch", "8", "--sequence", "1024"]), ("resnet50", ["--batch", "64"]), ("resnet20", ["--batch", "128"])):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            code, out, errors = execute([sys.executable, HERE / "bench" / "baselines" / "pytorch_step.py", "--graft", BIN / "graft", "--device", "cuda",
                                         "--model", model, *size, "--rounds", "2", "--compile", "--json", file.name], limit * 0.55)
            text = pathlib.Path(file.name).read_text()
        print("  " + "\n  ".join(out.strip().splitlines()))
        if code == 0:
            results[model] = json.loads(text)
        else:
            failed.append(f"{model}: exit {code}: {last_line(errors)}")
    write("steps", {"steps": results, "failed": failed})
    return not failed, f"{len(results)} models" + ("; " + "; ".join(failed) if failed else "")


STEPS = [("kernels", kernels, 100), ("study", study, 40), ("benchmark", benchmark, 180), ("steps", steps, 200), ("sanitizer", sanitizer, 90)]

if __name__ == "__main__":
    wanted = sys.argv[1:] or [name for name, _, _ in STEPS]
    unknown = set(wanted) - {name for name, _, _ in STEPS}
    if unknown:
        sys.exit(f"run: no step {', '.join(sorted(unknown))}: expected {', '.join(n for n, _, _ in STEPS)}")
    archive, unpacked = HERE / "files.tar.xz", HERE / "unpacked"
    if not unpacked.exists() or unpacked.stat().st_mtime < archive.stat().st_mtime:  # also over an older bundle
        for folder in (BIN, HERE / "lib"):
            shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(archive) as files:
            files.extractall(HERE, filter="data")
        unpacked.touch()
    LIBRARIES = library_path()
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
