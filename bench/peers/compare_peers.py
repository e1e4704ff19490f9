#!/usr/bin/env python3
"""qtk against ONNX Runtime (pip: onnxruntime onnx numpy) and, where it is installed, llama.cpp's
ggml (pip: llama-cpp-python, built from source) on the same shapes: rounds of bench_gemm and of the
peers take turns, medians over rounds make one table. bench/README.md says the method.

    compare_peers.py [--bench PROGRAM] [--formats int4-g32-dynamic,int8-dynamic|all]
                     [--shapes "M,N,K;M,N,K"|all] [--threads 1,2] [--rounds 3] [--json FILE]
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

REST = 0.1  # seconds: idle threads spin for some 30 ms and would take the next one's core
DEFAULT_SHAPES = "1,4096,4096;8,4096,4096;32,4096,4096;128,4096,4096;128,768,768;128,3072,768"


def fail(text):
    sys.exit(f"compare_peers: {text}")


def parse_shapes(text, program):
    if text == "all":  # that bench_gemm has of itself
        names = subprocess.run([program, "--benchmark_list_tests"], capture_output=True, text=True)
        found = re.findall(r"/M:(\d+)/N:(\d+)/K:(\d+)/", names.stdout)
        return list(dict.fromkeys(tuple(map(int, shape)) for shape in found))
    if not re.fullmatch(r"\d+,\d+,\d+(;\d+,\d+,\d+)*", text):
        fail(f"--shapes: '{text}' is not of the form M,N,K;M,N,K")
    return [tuple(map(int, shape.split(","))) for shape in text.split(";")]


def qtk_times(program, formats, shape, threads, seconds):
    """Nanoseconds of one product for each format."""
    M, N, K = shape
    wanted = f"^gemm/({'|'.join(formats)})/M:{M}/N:{N}/K:{K}/threads:{threads}/qtk$"
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "qtk.json")
        done = subprocess.run(
            [program, f"--benchmark_filter={wanted}", f"--benchmark_min_time={seconds}",
             f"--benchmark_out={out}"], capture_output=True, text=True,
            env={**os.environ, "QTK_BENCH_SHAPES": f"{M},{N},{K}"})
        if done.returncode != 0:
            fail(done.stderr.strip() or f"{program} failed")
        with open(out) as file:
            runs = json.load(file)["benchmarks"]
    unit = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    return {run["name"].split("/")[1]: run["real_time"] * unit[run["time_unit"]] for run in runs}


def peer_time(product, threads, seconds):
    """Nanoseconds of one product: the median of samples of at least 10 ms."""
    if threads > 1:
        time.sleep(REST)
    product.run()
    begin = time.perf_counter_ns()
    product.run()
    times = max(1, int(1e7 / max(1, time.perf_counter_ns() - begin)))
    samples, end = [], time.perf_counter() + seconds
    while len(samples) < 5 or time.perf_counter() < end:
        begin = time.perf_counter_ns()
        for _ in range(times):
            product.run()
        samples.append((time.perf_counter_ns() - begin) / (times * product.count))
    return statistics.median(samples)


def peers_of(shape, threads, formats):
    """[(qtk's format, the peer's column, product)], those that cannot be made named on stderr."""
    made = []
    for module in MODULES:
        for format in module.PRODUCTS:
            if formats != ["all"] and format not in formats:
                continue
            try:
                made.append((format, module.PEER, module.Product(format, *shape, threads)))
            except Exception as e:  # a peer's limits are its own
                print(f"skipped: {module.PRODUCTS[format][0]} at {shape}: {str(e).splitlines()[0]}",
                      file=sys.stderr)
    return made


def compare(shape, threads, options):
    """Results of one shape and number of threads: GOP/s by format and column."""
    peers = peers_of(shape, threads, options.formats)
    formats = list(dict.fromkeys(format for format, _, _ in peers))
    times = {format: {"qtk": []} for format in formats}
    for done in range(options.rounds):
        if sys.stderr.isatty():
            print(f"\r\033[K{shape}, {threads} threads: round {done + 1}", end="", file=sys.stderr)
        for format, ns in qtk_times(options.bench, formats, shape, threads,
                                    options.seconds).items():
            times[format]["qtk"].append(ns)
        for format, peer, product in peers:
            times[format].setdefault(peer, []).append(peer_time(product, threads, options.seconds))
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    M, N, K = shape
    results = []
    for format in formats:
        gops = {who: 2 * M * N * K / statistics.median(t) for who, t in times[format].items()}
        best = max(speed for who, speed in gops.items() if who != "qtk")
        results.append({"format": format, "M": M, "N": N, "K": K, "threads": threads,
                        "gops": {who: round(speed, 1) for who, speed in gops.items()},
                        "to_best_peer": round(gops["qtk"] / best, 2)})
    return results


def show(results):
    """One table, who does the same work side by side; then what each column multiplies by."""
    columns = ["qtk"] + [module.PEER for module in MODULES]
    table = [["format", "M x N x K", "threads", *columns, "qtk / best peer"]]
    for r in sorted(results, key=lambda r: r["format"]):
        speeds = [f"{r['gops'][who]:.1f}" if who in r["gops"] else "-" for who in columns]
        table.append([r["format"], f"{r['M']} x {r['N']} x {r['K']}", str(r["threads"]), *speeds,
                      f"{r['to_best_peer']:.2f}"])
    widths = [max(map(len, column)) for column in zip(*table)]
    table.insert(1, ["-" * w for w in widths])
    for row in table:
        print("  ".join(c.ljust(w) if i < 2 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(row, widths))).rstrip())
    print(f"\nGOP/s. {cpu_name()}, {datetime.date.today()}.")
    for format in sorted({r["format"] for r in results}):
        names = [m.PRODUCTS[format][0] for m in MODULES if format in m.PRODUCTS]
        print(f"{format}: {', '.join(names)}")


def cpu_name():
    with open("/proc/cpuinfo") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return found[1] if found else "unknown CPU"


def write_json(path, results):
    with open(path, "w") as file:
        json.dump({"cpu": cpu_name(), "date": str(datetime.date.today()),
                   "peers": {module.PEER: module.version() for module in MODULES},
                   "results": results}, file, indent=1)
        file.write("\n")


def parse_options():
    parser = argparse.ArgumentParser(prog="compare_peers", description=__doc__.splitlines()[0])
    parser.add_argument("--bench", default="build/release/bench/bench_gemm", help="the program")
    parser.add_argument("--shapes", default=DEFAULT_SHAPES, help="M,N,K;M,N,K or all of bench_gemm's")
    parser.add_argument("--formats", default="all", help="of qtk, where a peer has such a product")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each product and round")
    parser.add_argument("--json", help="a file for the results")
    options = parser.parse_args()
    if not os.access(options.bench, os.X_OK):
        fail(f"{options.bench}: no such program (build bench_gemm, or give --bench)")
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", options.threads) or options.rounds < 1:
        fail("--threads and --rounds are numbers from 1 on")
    options.formats = options.formats.split(",")
    return options


def import_peers():
    found = []
    for name, packages in (("ort_products", "onnxruntime onnx numpy"),
                           ("ggml_products", "llama-cpp-python")):
        try:
            found.append(__import__(name))
        except (ImportError, OSError) as e:
            print(f"skipped: {name}: {e} (pip install {packages})", file=sys.stderr)
    if not found:
        fail("no peer is installed")
    return found


if __name__ == "__main__":
    options = parse_options()
    MODULES = import_peers()
    results = []
    for shape in parse_shapes(options.shapes, options.bench):
        for threads in map(int, options.threads.split(",")):
            results += compare(shape, threads, options)
    show(results)
    if options.json:
        write_json(options.json, results)
