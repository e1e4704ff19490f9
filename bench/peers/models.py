#!/usr/bin/env python3
"""Whole models in qtk and ONNX Runtime (pip: onnxruntime onnx numpy), fp32, int8 with activations
quantized at run time, and int8-static by calibrated scales: rounds of `qtk run` and of the peer take
turns, medians over rounds make one table. ONNX Runtime has its default optimizer, and files without weights among the graph's inputs, which
it would not fold (ultraface: 6.4 ms, not 2.4); its int8 is what
onnxruntime.quantization writes where it can: quantize_dynamic, or quant_pre_process and quantize_static
(QDQ; min-max; QInt8 weights per channel, QUInt8 activations). Both calibrate on the same random
samples: of models with one fp32 input.

    models.py [--program qtk] [--data FOLDER] [--models resnet20,magika] [--formats fp32,int8,int8-static]
              [--batches 1,32] [--threads 1] [--rounds 5] [--json FILE]
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = {  # file, whether the first dimension is a symbol
    "mnist": ("onnx/mnist_cntk/mnist.onnx", False),
    "keypoint": ("onnx/keypoint/keypoint_classifier.onnx", True),
    "resnet20": ("cifar10/resnet20_cifar10.onnx", True),
    "magika": ("onnx/magika_fast_v2_1/model.onnx", True),
    "ultraface": ("onnx/ultraface/version-RFB-320.onnx", False),
    "silero": ("onnx/silero_vad/silero_vad_16k_op15.onnx", True),
}
SAMPLES = 16  # to calibrate on
SLICE = 0.15  # seconds of one model in one round


def inputs_of(session, batch):
    """What each model takes: random numbers, bytes, a frame of sound."""
    rng, feeds = np.random.default_rng(1), {}
    for info in session.get_inputs():
        shape = [d if isinstance(d, int) else 576 if d == "sequence" else batch for d in info.shape]
        if info.type == "tensor(float)":
            feeds[info.name] = rng.random(shape, dtype=np.float32)
        elif info.name == "sr":
            feeds[info.name] = np.array(16000, np.int64)
        else:
            feeds[info.name] = rng.integers(0, 257, shape).astype(np.int32)
    return feeds


def rest():
    """Until no thread here takes a core: those of ONNX Runtime spin for some 30 ms after their work."""
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.01)
        if time.process_time() - before < 0.001:
            return


class Peer:
    def __init__(self, path, batch, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        before = time.perf_counter()
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.start = (time.perf_counter() - before) * 1e3
        self.feeds = inputs_of(self.session, batch)

    def time(self):
        """Median milliseconds of a run."""
        for _ in range(3):
            self.session.run(None, self.feeds)
        times, end = [], time.perf_counter() + SLICE
        while len(times) < 5 or time.perf_counter() < end:
            before = time.perf_counter()
            self.session.run(None, self.feeds)
            times.append(time.perf_counter() - before)
        return statistics.median(times) * 1e3


class Qtk:
    def __init__(self, program, path, feeds, threads, folder):
        self.command = [program, "run", path, "--threads", str(threads)]
        for i, (name, array) in enumerate(feeds.items()):
            file = os.path.join(folder, f"in.{len(os.listdir(folder))}.{i}.npy")
            np.save(file, array)
            self.command += ["--input", f"{name}={file}"]
        self.runs = max(5, math.ceil(SLICE * 1e3 / max(self.measure(5)[0], 1e-3)))

    def measure(self, runs):
        done = subprocess.run([*self.command, "--runs", str(runs)], capture_output=True, text=True)
        found = re.search(r"median of \d+ runs ([\d.]+) ms, start ([\d.]+) ms", done.stdout)
        if done.returncode != 0 or not found:
            raise RuntimeError(done.stderr.strip() or done.stdout)
        return float(found[1]), float(found[2])

    def time(self):
        return self.measure(self.runs)


def prepare(path, file):
    """The model as ONNX Runtime likes it: weights are no inputs of the graph."""
    model = onnx.load(path)
    weights = {w.name for w in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, 4)
    onnx.save(model, file)


def quantize_static(program, path, ours, plain, theirs, folder):
    from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                          quantize_static as quantize)
    from onnxruntime.quantization.shape_inference import quant_pre_process
    options = ort.SessionOptions()
    options.log_severity_level = 4
    feeds = inputs_of(ort.InferenceSession(plain, options, providers=["CPUExecutionProvider"]), 1)
    (name, one), = feeds.items()
    rng = np.random.default_rng(2)
    samples = rng.random((SAMPLES, *one.shape[1:]), dtype=np.float32)

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(samples)

        def get_next(self):
            sample = next(self.left, None)
            return None if sample is None else {name: sample[None]}

    data = os.path.join(folder, "samples.npz")
    np.savez(data, x=samples)
    subprocess.run([program, "quantize", path, "--to", "int8-static", "--calibration", "min_max",
                    "--data", f"npz:{data}", "-o", ours], check=True, capture_output=True)
    prepared = os.path.join(folder, "prepared.onnx")
    model = onnx.load(plain)
    if model.opset_import[0].version < 13:  # has no scales per channel
        model = onnx.version_converter.convert_version(model, 13)
    quant_pre_process(model, prepared)
    quantize(prepared, theirs, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
             activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
             extra_options={"QDQDisableWeightAdjustForInt32Bias": True})  # fails on mnist


def files(program, path, form, folder):
    """(qtk's file, ONNX Runtime's)."""
    import logging
    logging.disable(logging.WARNING)
    base = os.path.join(folder, os.path.basename(os.path.dirname(path)))
    plain, ours, theirs = (f"{base}.{form}.{who}.onnx" for who in ("plain", "qtk", "ort"))
    if os.path.exists(plain):
        return (ours, theirs) if form != "fp32" else (path, plain)
    prepare(path, plain)
    if form == "fp32":
        return path, plain
    if form == "int8-static":
        quantize_static(program, path, ours, plain, theirs, folder)
        return ours, theirs
    subprocess.run([program, "quantize", path, "--to", "int8-dynamic", "-o", ours], check=True,
                   capture_output=True)
    from onnxruntime.quantization import quantize_dynamic
    quantize_dynamic(plain, theirs)
    return ours, theirs


def compare(args, name, form, batch, threads, folder):
    file, symbolic = MODELS[name]
    if batch != 1 and not symbolic:
        return None
    ours, theirs = files(args.program, os.path.join(args.data, file), form, folder)
    peer = Peer(theirs, batch, threads)
    qtk = Qtk(args.program, ours, peer.feeds, threads, folder)
    rounds = []
    for _ in range(args.rounds):
        rest()
        mine = qtk.time()
        other = peer.time()
        start = Peer(theirs, batch, threads).start
        rounds.append((*mine, other, start))
    middle = [statistics.median(column) for column in zip(*rounds)]
    return {"model": name, "format": form, "batch": batch, "threads": threads, "qtk_ms": middle[0],
            "ort_ms": middle[2], "ratio": statistics.median(r[2] / r[0] for r in rounds),
            "qtk_start_ms": middle[1], "ort_start_ms": middle[3]}


def main():
    parser = argparse.ArgumentParser()
    root = os.path.join(HERE, "../..")
    parser.add_argument("--program", default=os.path.join(root, "build/release/examples/qtk/qtk"))
    parser.add_argument("--data", default=os.environ.get("QTK_TEST_DATA") or
                        os.path.join(root, "../shared/data"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--formats", default="fp32,int8,int8-static")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    print(f"ONNX Runtime {ort.__version__}; ratio above 1: qtk is faster\n")
    print(f"| {'model':10} | format      | batch | threads | qtk ms | ORT ms | ratio | start qtk, ORT ms |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models.split(","):
            for form in args.formats.split(","):
                for batch in map(int, args.batches.split(",")):
                    for threads in map(int, args.threads.split(",")):
                        try:
                            row = compare(args, name, form, batch, threads, folder)
                        except Exception as why:  # a model that one of the two refuses
                            text = str(why).splitlines()[-1] if str(why) else repr(why)
                            print(f"| {name:10} | {form} | {batch} | {threads} | {text[:100]} |")
                            continue
                        if row is None:
                            continue
                        rows.append(row)
                        print(f"| {name:10} | {form:6} | {batch:5} | {threads:7} | {row['qtk_ms']:6.3f} | "
                              f"{row['ort_ms']:6.3f} | {row['ratio']:5.2f} | {row['qtk_start_ms']:.1f}, "
                              f"{row['ort_start_ms']:.1f} |", flush=True)
    if rows:
        mean = math.exp(sum(math.log(r["ratio"]) for r in rows) / len(rows))
        print(f"\ngeometric mean of the ratios {mean:.2f}, least {min(r['ratio'] for r in rows):.2f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"onnxruntime": ort.__version__, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
