#!/usr/bin/env python3
"""Compares outputs of `qtk run` with ONNX Runtime on the same inputs.

usage: compare.py QTK MODEL [MODEL ...]

Each model gets the same random inputs in both runtimes; outputs must agree within 1e-4 relative to
the largest output. Models in other formats written by `qtk quantize` are checked the same way, which
shows that the files are standard ONNX. In int8-static, products are exact, but the sum of two floats
may round elsewhere than ONNX Runtime's and put a value on the other side of the middle between two
codes: what follows is then a step of that code away, within CODE_BOUND, and the line says so. Exits 77 where onnxruntime or numpy is not installed.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime as ort
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

BOUND = 1e-4
CODE_BOUND = 2e-2
FORMATS = ["fp16", "bf16", "int8-weight-only", "int4-weight-only", "pruned50", "int8-static",
           "int8-static --per-tensor --symmetric --equalize", "int4-weight-only --algorithm gptq",
           "int4-weight-only --algorithm hqq --bits 3",
           "int4-weight-only --algorithm hqq --matmul-nbits"]


def run_qtk(qtk, model, x, folder):
    """Outputs of `qtk run`: a list of arrays."""
    source, target = os.path.join(folder, "in.npy"), os.path.join(folder, "out")
    np.save(source, x)
    subprocess.run([qtk, "run", model, "--input", source, "--output", target], check=True)
    outputs = []
    while os.path.exists(f"{target}.{len(outputs)}.npy"):
        outputs.append(np.load(f"{target}.{len(outputs)}.npy"))
    for i in range(len(outputs)):
        os.remove(f"{target}.{i}.npy")
    return outputs


def difference(a, b):
    """Largest difference relative to the largest value; shapes and kinds must agree."""
    if a.shape != b.shape:
        return float("inf")
    if a.dtype.kind in "iu":
        return float((a != b).any())
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def calibration_data(path, folder):
    """Random samples of the model's input for --data."""
    info = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0]
    shape = [d if isinstance(d, int) else 4 for d in info.shape]
    shape[0] = 32
    target = os.path.join(folder, "data.npz")
    np.savez(target, x=np.random.default_rng(2).random(shape, dtype=np.float32), y=np.zeros(32))
    return "npz:" + target


def check(qtk, path, folder):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # As the file says: the optimizer may quantize activations of its own accord (MatMulNBits).
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    info = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 4 for d in info.shape]
    x = np.random.default_rng(1).random(shape, dtype=np.float32)
    expected = session.run(None, {info.name: x})
    got = run_qtk(qtk, path, x, folder)
    if len(got) != len(expected):
        return float("inf")
    differences = [difference(a, b) for a, b in zip(got, expected)]
    return float("nan") if any(d != d for d in differences) else max(differences)


def main():
    qtk, models = sys.argv[1], sys.argv[2:]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            for variant in ["as it is", *FORMATS]:
                path = model
                if variant != "as it is":
                    path = os.path.join(folder, "small.onnx")
                    data = ["--data", calibration_data(model, folder)]
                    subprocess.run([qtk, "quantize", model, "--to", *variant.split(), "-o", path,
                                    *(data if "static" in variant or "gptq" in variant else [])],
                                   check=True, stdout=subprocess.DEVNULL)
                worst = check(qtk, path, folder)
                code_off = "static" in variant and BOUND < worst <= CODE_BOUND
                good = worst <= BOUND or code_off
                failed += not good
                print(f"{os.path.basename(model):32} {variant:48} {worst:.2e} "
                      f"{'a code off by one' if code_off else 'ok' if good else 'DIFFERS'}")
    print(f"{failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
