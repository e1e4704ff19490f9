#!/usr/bin/env python3
"""Instructions that the AArch64 kernels execute for each multiply-accumulate, counted under qemu-user
(apt: g++-aarch64-linux-gnu qemu-user), for CPUs of each feature level. What grows with both N and K
is counted: the microkernels' inner loops and the widening of weights, not the packing of rows, the
epilogue or the loops around them.

    aarch64_instructions.py [--mnemonics] [--kernels REGEX]
    CXX, CXXFLAGS: other than aarch64-linux-gnu-g++ -O2
"""
import argparse
import collections
import os
import re
import subprocess
import tempfile

CPUS = ("cortex-a53", "neoverse-n1", "max")
ROWS = (1, 3, 6, 48)
N, K = (32, 64), (64, 128)
# Multiply-accumulates of one instruction.
MULTIPLIES = {"fmla.4s": 4, "smlal.4s": 4, "smlal2.4s": 4, "smlal.8h": 8, "smlal2.8h": 8,
              "sdot.4s": 16, "smmla.4s": 32, "usmmla.4s": 32}
COUNTED = re.compile(r"gemm_driver<|(_|::)(run|widen|add|multiply)<")


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def build(folder):
    here = os.path.dirname(os.path.abspath(__file__))
    program = os.path.join(folder, "aarch64_instructions")
    subprocess.run([os.environ.get("CXX", "aarch64-linux-gnu-g++"),
                    *os.environ.get("CXXFLAGS", "-O2").split(), "-std=c++20", "-static",
                    "-I" + os.path.join(here, "..", "include"),
                    os.path.join(here, "aarch64_instructions.cpp"), "-o", program], check=True)
    return program


class Counter:
    """Executed instructions of the kernels' functions, by mnemonic."""

    def __init__(self, program, folder):
        self.program, self.log = program, os.path.join(folder, "log")
        symbols = (line.split(" ", 3) for line in
                   output("aarch64-linux-gnu-nm", "-CS", "--defined-only", program).splitlines())
        self.ranges = ",".join(f"0x{s[0]}+0x{s[1]}" for s in symbols
                               if len(s) == 4 and s[2] in "tTwW" and COUNTED.search(s[3]))
        listing = output("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", program)
        self.mnemonics = {int(at, 16): mnemonic + lanes for at, mnemonic, lanes in
                          re.findall(r"^ *([0-9a-f]+):\t(\S+)(?:\tv\d+(\.\w+))?", listing, re.M)}

    def run(self, cpu, op, *shape):
        """One translated block for each instruction, a line of the log for each block."""
        subprocess.run(["qemu-aarch64", "-cpu", cpu, "-singlestep", "-d", "exec,nochain",
                        "-dfilter", self.ranges, "-D", self.log, self.program, op,
                        *map(str, shape)], check=True)
        with open(self.log) as log:
            executed = collections.Counter(line.split("/", 2)[1] for line in log)
        counts = collections.Counter()
        for pc, times in executed.items():
            counts[self.mnemonics[int(pc, 16)]] += times
        return counts

    def each(self, cpu, op, M):
        """{mnemonic: times for each multiply-accumulate}"""
        sums = collections.Counter()
        for sign, n, k in ((1, 1, 1), (-1, 1, 0), (-1, 0, 1), (1, 0, 0)):
            for mnemonic, times in self.run(cpu, op, M, N[n], K[k]).items():
                sums[mnemonic] += sign * times
        macs = M * (N[1] - N[0]) * (K[1] - K[0])
        return {mnemonic: times / macs for mnemonic, times in sums.items() if times != 0}


def multiplies(counts):
    """Instructions for each multiply-accumulate that can't be saved."""
    return 1 / max(MULTIPLIES[mnemonic] for mnemonic in counts if mnemonic in MULTIPLIES)


def main():
    parser = argparse.ArgumentParser(prog="aarch64_instructions",
                                     description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--mnemonics", action="store_true", help="which instructions, at each M")
    parser.add_argument("--kernels", default="", help="those whose isa::name has this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(build(folder), folder)
        print("| kernel | multiplies | " + " | ".join(f"M = {M}" for M in ROWS) + " |")
        print("|---|---" + "|---" * len(ROWS) + "|")
        seen = set()
        for cpu in CPUS:
            for line in output("qemu-aarch64", "-cpu", cpu, counter.program).splitlines():
                op, isa, name = line.split()
                kernel = f"{isa}::{name}"
                if kernel in seen or not re.search(options.kernels, kernel):
                    continue
                seen.add(kernel)
                counts = [counter.each(cpu, op, M) for M in ROWS]
                least = multiplies(counts[-1])
                cells = (f"{sum(c.values()):.3f} ({sum(c.values()) / least:.2f})" for c in counts)
                print(f"| {kernel} | {least:.4g} | " + " | ".join(cells) + " |", flush=True)
                if options.mnemonics:
                    for M, c in zip(ROWS, counts):
                        print(f"    M = {M}:", ", ".join(
                            f"{times:.4f} {mnemonic}"
                            for mnemonic, times in sorted(c.items(), key=lambda x: -x[1])))


if __name__ == "__main__":
    main()
