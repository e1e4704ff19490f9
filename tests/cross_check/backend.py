#!/usr/bin/env python3
"""Runs the operator tests of the ONNX project, where the data collection has them.

usage: backend.py QTK FOLDER

Each case whose first input is fp32 becomes a model of one input, with the others as weights. What qtk
runs must give the expected outputs; what it refuses it must refuse in one line. Exits 77 where the cases,
onnx or numpy are missing.
"""
import collections
import glob
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def tensors(folder, kind):
    count = len(glob.glob(os.path.join(folder, f"{kind}_*.pb")))
    return [onnx.load_tensor(os.path.join(folder, f"{kind}_{k}.pb")) for k in range(count)]


def load(case):
    """(model of one input, x, expected outputs), or None where the case is of another kind."""
    model = onnx.load(os.path.join(case, "model.onnx"))
    folder = os.path.join(case, "test_data_set_0")
    try:
        inputs = tensors(folder, "input")
        outputs = [numpy_helper.to_array(t) for t in tensors(folder, "output")]
        x = numpy_helper.to_array(inputs[0]) if inputs else None
    except Exception:  # sequences, optional values, types that numpy lacks
        return None
    given = {w.name for w in model.graph.initializer}
    names = [v.name for v in model.graph.input if v.name not in given]
    if x is None or x.dtype != np.float32 or len(names) != len(inputs):
        return None
    for name, tensor in list(zip(names, inputs))[1:]:
        tensor.name = name
        model.graph.initializer.append(tensor)
    first = [v for v in model.graph.input if v.name == names[0]]
    del model.graph.input[:]
    model.graph.input.extend(first)
    return model, x, outputs


def verdict(qtk, folder, model, x, expected):
    onnx.save(model, os.path.join(folder, "m.onnx"))
    np.save(os.path.join(folder, "x.npy"), x)
    run = subprocess.run([qtk, "run", "m.onnx", "--input", "x.npy", "--output", "o"], cwd=folder,
                         capture_output=True, text=True, errors="replace")
    if run.returncode == 1:
        return "refused" if run.stderr.count("\n") == 1 else f"refused in {run.stderr!r}"
    if run.returncode != 0:
        return f"died with {run.returncode}"
    for k, b in enumerate(expected):
        a = np.load(os.path.join(folder, f"o.{k}.npy"))
        if a.shape != b.shape:
            return f"shape {a.shape}, expected {b.shape}"
        if not np.allclose(a.astype(np.float64), b.astype(np.float64), 1e-3, 1e-5, equal_nan=True):
            return f"{a.ravel()[:6]}, expected {b.ravel()[:6]}"
    return "agrees"


def main():
    qtk, root = sys.argv[1:]
    cases = sorted(glob.glob(os.path.join(root, "node", "*"))) + sorted(
        glob.glob(os.path.join(root, "simple", "*")))
    if not cases:
        print("skipped: no cases of the ONNX project")
        return 77
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            loaded = load(case)
            result = verdict(qtk, folder, *loaded) if loaded else "of another kind"
            known = result in ("agrees", "refused", "of another kind")
            counts[result if known else "WRONG"] += 1
            if not known:
                print(f"{os.path.basename(case)}: {result}")
    print(", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    return 1 if counts["WRONG"] or counts["agrees"] < 150 else 0


if __name__ == "__main__":
    sys.exit(main())
