#!/usr/bin/env python3
"""Follows the machine code of kernels with wgmma through its branches and names the instructions that touch registers of a product
still under way: its sums (read or written), or its operand in registers (written). wgmma is asynchronous: such an instruction
meets whatever is there. The emulator, where registers are variables, cannot see it.

  wgmma_check.py FILE.cubin...        needs cuobjdump of the CUDA Toolkit; cuda_check.py calls it for all kernels
"""
import re
import shutil
import subprocess
import sys

INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,6})\*/\s+(.*?)\s*;")
# HGMMA.64x96x16.F32.BF16 R24, R56, gdesc[UR16].tnspB, R24, gsb0: sums, perhaps an operand, the last of its group
PRODUCT = re.compile(r"[HQI]GMMA\.64x(\d+)x\S* R(\d+), (?:R(\d+)|gdesc)")
WAIT = re.compile(r"WARPGROUP\.DEPBAR\.LE gsb0, 0x([0-9a-f]+)")
BRANCH = re.compile(r"^(@!?U?P\w+ )?BRA(\.\w+)* (.*, )?(0x[0-9a-f]+)$")
NO_RESULT = ("ST", "RED", "BAR", "SYNCS", "UTMA", "WARP", "BSSY", "R2UR", "ISETP", "FSETP", "VOTE", "BRA")


def functions(path):
    text = subprocess.run(["cuobjdump", "-sass", path], capture_output=True, text=True, check=True).stdout
    for part in text.split("Function : ")[1:]:
        found = (INSTRUCTION.match(line) for line in part.splitlines())
        yield part.split("\n", 1)[0].strip(), [(int(m[1], 16), re.sub(r"\s+", " ", m[2])) for m in found if m]


def registers(text):
    """Those that an instruction writes, and all that it names."""
    opcode, _, operands = re.sub(r"^@!?U?P\w+ ", "", text).partition(" ")
    marks = opcode.split(".")
    width = 4 if "128" in marks else 2 if "64" in marks or "WIDE" in marks else int(marks[-1]) if opcode.startswith("LDSM") else 1
    written, named = set(), set()
    for i, operand in enumerate(operands.split(",")):
        for first in (int(r) for r in re.findall(r"(?<![A-Z])R(\d+)", operand)):
            is_data = i == 0 and "[" not in operand or opcode.startswith("ST")
            these = range(first, first + (width if is_data and "[" not in operand else 1))
            named.update(these)
            if i == 0 and "[" not in operand and not opcode.startswith(NO_RESULT):
                written.update(these)
    return written, named


def hazards(code):
    """{address: instruction}. A state is the groups of products that may be under way, oldest first, and the group begun."""
    index = {at: i for i, (at, _) in enumerate(code)}
    nothing = (frozenset(), frozenset())  # sums, operands
    found, seen, todo = {}, set(), [(0, (), nothing)]
    while todo:
        i, groups, begun = todo.pop()
        while i < len(code) and (i, groups, begun) not in seen:
            seen.add((i, groups, begun))
            at, text = code[i]
            sums = frozenset().union(begun[0], *(g[0] for g in groups))
            operands = frozenset().union(begun[1], *(g[1] for g in groups))
            if m := PRODUCT.search(text):
                d = frozenset(range(int(m[2]), int(m[2]) + int(m[1]) // 2))
                a = frozenset(range(int(m[3]), int(m[3]) + 4) if m[3] else ())
                if a & sums or d & operands or d & sums not in (frozenset(), d):  # products in turn may share their sums
                    found[at] = text
                begun = (begun[0] | d, begun[1] | a)
                if text.endswith("gsb0"):
                    groups, begun = (*groups, begun)[-8:], nothing  # no wait of ours leaves more
            elif m := WAIT.search(text):
                groups = groups[max(len(groups) - int(m[1], 16), 0):]
            else:
                written, named = registers(text)
                if named & sums or written & operands:
                    found[at] = text
            if m := BRANCH.match(text):
                todo.append((index[int(m[4], 16)], groups, begun))
                if not m[1] and not m[2] and not m[3]:
                    break
            if re.match(r"EXIT|RET", text):
                break
            i += 1
    return found


EXAMPLE = """HGMMA.64x8x16.F32.BF16 R24, R40, gdesc[UR16].tnspB, R24, gsb0; {} BRA P0, 0x0; WARPGROUP.DEPBAR.LE gsb0, 0x0;
FADD R25, R25, R26; MOV R40, RZ; EXIT"""
for between, expected in (("MOV R41, R50;", 1), ("STG.E [R2.64], R27;", 1), ("FADD R28, R40, R41;", 0), ("LDS.128 R36, [R24];", 1)):
    example = [(16 * i, text.strip()) for i, text in enumerate(EXAMPLE.format(between).split(";"))]
    assert len(hazards(example)) == expected, between


def check(path):
    """Kernels with wgmma in a cubin, and a line for each such instruction."""
    kernels, lines = 0, []
    for name, code in functions(path):
        if any(PRODUCT.search(text) for _, text in code):
            kernels += 1
            lines += [f"{name}: {at:#x}: a product under way uses registers of: {text}" for at, text in sorted(hazards(code).items())]
    return kernels, lines


available = shutil.which("cuobjdump") is not None
if __name__ == "__main__":
    results = [check(path) for path in sys.argv[1:]]
    lines = [line for _, lines in results for line in lines]
    print("\n".join(lines) or f"wgmma-check: {sum(n for n, _ in results)} kernels, no register of a product under way is touched")
    sys.exit(bool(lines))
