#!/usr/bin/env python3
"""Compares operators one by one, and pairs that qtk fuses, with ONNX Runtime.

usage: operators.py QTK

Each case is a small model; `qtk run` and ONNX Runtime (without its optimizer) must agree within 1e-4
in values and exactly in shape, or, where a case says so, qtk must refuse the model. Exits 77 where
onnx, onnxruntime or numpy is not installed.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

FLOAT = TensorProto.FLOAT
random = np.random.default_rng(0)


def f(*shape):
    return random.standard_normal(shape).astype(np.float32)


def i(*values):
    return np.array(values, dtype=np.int64)


def node(op, inputs, output="y", **attributes):
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


def cases():
    """(name, nodes, weights, x, keywords): keywords are opset, dims of the input, refused, and codes,
    by how much values may differ that were rounded to codes."""
    for alpha, beta in ((1.0, 1.0), (0.5, -2.0)):
        for c in ((4,), (1, 4), (4, 1), (4, 4), (1,), ()):
            yield (f"Gemm alpha {alpha} beta {beta} c {c}",
                   [node("Gemm", "x w c", alpha=alpha, beta=beta)],
                   {"w": f(8, 4), "c": np.asarray(f(*c))}, f(4, 8), {})
    yield "Gemm transB", [node("Gemm", "x w", transB=1)], {"w": f(5, 8)}, f(3, 8), {}
    yield "Gemm transA", [node("Gemm", "x w", transA=1)], {"w": f(3, 4)}, f(3, 8), {}
    for shape in ((8,), (2, 8), (2, 3, 8)):
        yield f"MatMul x {shape}", [node("MatMul", "x w")], {"w": f(8, 3)}, f(*shape), {}
        for c in ((3,), (1, 3), (1, 1, 3)):
            yield (f"MatMul x {shape}, Add {c}", [node("MatMul", "x w", "m"), node("Add", "m c")],
                   {"w": f(8, 3), "c": f(*c)}, f(*shape), {})
    norm = {"g": f(4), "b": f(4), "mu": f(4), "va": np.abs(f(4)) + 0.1}
    yield ("MatMul, BatchNormalization of rank 3",
           [node("MatMul", "x w", "m"), node("BatchNormalization", "m g b mu va")],
           {"w": f(8, 4), **norm}, f(2, 4, 8), {})
    yield ("Gemm, BatchNormalization",
           [node("Gemm", "x w", "m"), node("BatchNormalization", "m g b mu va", epsilon=1e-2)],
           {"w": f(8, 4), **norm}, f(2, 8), {})
    yield ("Conv, BatchNormalization, Relu; the middle is an output, too",
           [node("Conv", "x w", "c", group=2, strides=[2, 1], pads=[1, 0, 2, 1]),
            node("BatchNormalization", "c g b mu va", "d"), node("Relu", "d")],
           {"w": f(4, 2, 3, 2), **norm}, f(1, 4, 8, 9), {"outputs": ["y", "d"]})
    yield ("BatchNormalization of rank 2", [node("BatchNormalization", "x g b mu va")], norm,
           f(2, 4), {})
    yield ("residual of a slice", [node("MatMul", "x w", "m"), node("Slice", "x s e a", "r"),
                                   node("Add", "m r")],
           {"w": f(3, 3), "s": i(0), "e": i(1), "a": i(0)}, f(4, 3), {"dims": ["N", 3]})
    yield ("residual of the input", [node("Conv", "x w", "c"), node("Add", "x c")],
           {"w": f(4, 4, 1, 1)}, f(2, 4, 5, 5), {})
    yield ("residual of an activation of itself",
           [node("Conv", "x w b", "c"), node("Relu", "c", "d"), node("Add", "c d")],
           {"w": f(4, 4, 1, 1), "b": f(4)}, f(2, 4, 5, 5), {})
    yield ("image of any size", [node("Conv", "x w")], {"w": f(4, 3, 3, 3)}, f(1, 3, 9, 7),
           {"dims": ["N", 3, "H", "W"]})
    for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
        dilations = [2, 1] if pad == "VALID" else [1, 1]
        yield (f"Conv {pad}", [node("Conv", "x w", auto_pad=pad, strides=[2, 3],
                                    dilations=dilations)], {"w": f(4, 3, 3, 2)}, f(1, 3, 8, 9), {})
        yield (f"MaxPool {pad}", [node("MaxPool", "x", auto_pad=pad, strides=[2, 2],
                                       kernel_shape=[3, 2])], {}, f(1, 3, 8, 9), {})
    for ceil in (0, 1):
        for count in (0, 1):
            for k, s, p in ((3, 2, 1), (2, 2, 0), (3, 3, 1), (5, 3, 2)):
                yield (f"AveragePool k{k} s{s} p{p} ceil {ceil} count {count}",
                       [node("AveragePool", "x", kernel_shape=[k, k], strides=[s, s], pads=[p] * 4,
                             ceil_mode=ceil, count_include_pad=count)], {}, f(1, 2, 8, 9),
                       {"opset": 19})
        yield (f"MaxPool ceil {ceil}",
               [node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1],
                     ceil_mode=ceil, dilations=[2, 1])], {}, f(1, 2, 9, 8), {})
    yield "GlobalMaxPool", [node("GlobalMaxPool", "x")], {}, -np.abs(f(1, 2, 3, 3)) - 1, {}
    yield "GlobalAveragePool", [node("GlobalAveragePool", "x")], {}, f(2, 3, 4, 5), {}
    least, most = -2**63, 2**63 - 1
    for start, end, axis, step in (
            (i(-100), i(most), i(0), i(2)), (i(-100), i(-200), i(0), i(-1)),
            (i(most), i(least), i(-1), i(-2)), (i(5, 1), i(-1, 3), i(0, 1), i(-1, 1)),
            (i(3), i(least), i(0), i(-1)), (i(1), i(most), i(0), i(most)), (i(9), i(9), i(0), i(1))):
        yield (f"Slice {start} {end} {axis} {step}", [node("Slice", "x s e a t")],
               {"s": start, "e": end, "a": axis, "t": step}, f(6, 5), {})
    yield ("Pad, partly negative", [node("Pad", "x p v")],
           {"p": i(1, -1, 0, 2), "v": np.array(7, np.float32)}, f(3, 4), {})
    yield ("Gather", [node("Gather", "x i", axis=-1)],
           {"i": np.array([[0, -1], [2, -4]])}, f(3, 4), {})
    for axis in (-1, 0, 1, 2, -2):
        yield f"Softmax axis {axis}, set 11", [node("Softmax", "x", axis=axis)], {}, f(2, 3, 4), {
            "opset": 11}
        yield f"Softmax axis {axis}", [node("Softmax", "x", axis=axis)], {}, f(2, 3, 4), {}
        yield f"Flatten axis {axis}", [node("Flatten", "x", axis=axis)], {}, f(2, 3, 4), {}
    yield ("Clip, bounds crossed", [node("Clip", "x a b")],
           {"a": np.float32(0.5), "b": np.float32(-0.5)}, f(20), {})
    for op in ("Add", "Sub", "Mul", "Div"):
        for shape, c in (((3, 1), (1, 4)), ((3, 4), (1,)), ((3, 4), (3, 1)), ((2, 3, 4), (3, 4))):
            yield f"{op} {shape} with {c}", [node(op, "c x")], {"c": f(*c)}, f(*shape), {}
    for op in ("Abs", "Erf", "Exp", "Neg", "Relu", "Sigmoid", "Tanh"):
        yield op, [node(op, "x")], {}, np.array([[0, np.inf, -np.inf, 1e-30, 3, -3]], np.float32), {}
    yield "Sqrt", [node("Sqrt", "x")], {}, np.abs(f(9)), {}
    yield "LeakyRelu below 0", [node("LeakyRelu", "x", alpha=-0.3)], {}, f(1, 6), {}
    for axes in (i(0), i(-1, 1), i(0, 3)):
        yield f"Unsqueeze {axes}", [node("Unsqueeze", "x a")], {"a": axes}, f(2, 3), {}
    yield "Squeeze", [node("Squeeze", "x a")], {"a": i(0, -1)}, f(1, 3, 1), {}
    yield "Transpose", [node("Transpose", "x", perm=[2, 0, 1])], {}, f(2, 3, 4), {}
    yield "Concat", [node("Concat", "x c x", axis=-1)], {"c": f(2, 3)}, f(2, 4), {}
    yield "Expand", [node("Expand", "x s")], {"s": i(2, 1, 4)}, f(3, 1), {}
    yield "ArgMax", [node("ArgMax", "x", axis=-1, keepdims=0)], {}, f(3, 4), {}
    yield "Cast", [node("Cast", "x", to=TensorProto.INT32)], {}, np.float32([1.5, -1.5, 2.9, -0.2]), {}
    yield ("views that are outputs",
           [node("Reshape", "x s", "r"), node("Relu", "r", "q"), node("Reshape", "q s2"),
            node("Neg", "q", "z")], {"s": i(3, 4), "s2": i(0, -1, 1)}, f(2, 6),
           {"outputs": ["y", "z", "q"]})
    yield ("shape arithmetic",
           [node("Shape", "x", "s"), node("Gather", "s zero", "d"), node("Unsqueeze", "d axis", "d1"),
            node("Concat", "d1 rest", "t", axis=0), node("Reshape", "x t")],
           {"zero": np.array(0), "axis": i(0), "rest": i(-1)}, f(4, 2, 3), {"dims": ["N", 2, 3]})
    dequantized = [node("DequantizeLinear", "w s z", "wd", axis=1), node("MatMul", "x wd")]
    codes = np.arange(12, dtype=np.int8).reshape(4, 3)
    yield ("int8 weights with zero points", dequantized,
           {"w": codes, "s": f(3), "z": np.int8([1, 2, 3])}, f(2, 4), {})
    yield ("int8 weights of a grouped Conv",
           [node("DequantizeLinear", "w s", "wd", axis=0), node("Conv", "x wd", group=2)],
           {"w": random.integers(-128, 127, (6, 2, 2, 2)).astype(np.int8), "s": f(6)},
           f(2, 4, 3, 3), {})
    yield ("fp16 weights", [node("Cast", "w", "wd", to=FLOAT), node("MatMul", "x wd")],
           {"w": f(4, 3).astype(np.float16)}, f(2, 4), {})
    yield ("fp16 weights through a Reshape",
           [node("Cast", "w", "wd", to=FLOAT), node("Reshape", "wd s", "wr"), node("MatMul", "x wr")],
           {"w": f(12).astype(np.float16), "s": i(4, 3)}, f(2, 4), {})
    yield ("fp16 filters through a Reshape",
           [node("Cast", "w", "wd", to=FLOAT), node("Reshape", "wd s", "wr"), node("Conv", "x wr")],
           {"w": f(6, 4).astype(np.float16), "s": i(6, 2, 2, 1)}, f(1, 2, 4, 3), {})
    yield ("fp16 filters of three dimensions through a Reshape",
           [node("Cast", "w", "wd", to=FLOAT), node("Reshape", "wd s", "wr"), node("Conv", "x wr")],
           {"w": f(2, 3, 4).astype(np.float16), "s": i(6, 2, 2, 1)}, f(1, 2, 4, 3), {})
    yield ("fp16 weights that are an operand, too",
           [node("Cast", "w", "wd", to=FLOAT), node("MatMul", "x wd", "p"), node("Add", "p wd")],
           {"w": f(4, 4).astype(np.float16)}, f(4, 4), {})
    yield ("Dropout that trains", [node("Dropout", "x r t")],
           {"r": np.float32(0.5), "t": np.array(True)}, f(2, 50), {"refused": True})


def build(path, nodes, weights, x, opset, dims, outputs):
    """Saves the model; outputs get the types that shape inference finds."""
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", FLOAT, dims)], [],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()])
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    known = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    for name in outputs:
        kind = known.get(name, FLOAT)
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    onnx.save(model, path)


def run_qtk(qtk, folder, x, outputs):
    """The outputs, or the message where qtk refuses."""
    np.save(os.path.join(folder, "x.npy"), x)
    result = subprocess.run([qtk, "run", "m.onnx", "--input", "x.npy", "--output", "o"], cwd=folder,
                            capture_output=True, text=True)
    if result.returncode == 1:
        return result.stderr.strip()
    if result.returncode != 0:
        return f"DIED with {result.returncode}"
    return [np.load(os.path.join(folder, f"o.{k}.npy")) for k in range(len(outputs))]


def run_ort(folder, x):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(os.path.join(folder, "m.onnx"), options,
                                   providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def verdict(qtk, folder, nodes, weights, x, opset=13, dims=None, outputs=("y",), refused=False,
            codes=0.0):
    build(os.path.join(folder, "m.onnx"), nodes, weights, x, opset, dims or list(x.shape), outputs)
    got = run_qtk(qtk, folder, x, outputs)
    if isinstance(got, str):
        return "" if refused and not got.startswith("DIED") else got
    if refused:
        return "was not refused"
    for a, b in zip(got, run_ort(folder, x)):
        if a.shape != b.shape:
            return f"shape {a.shape}, expected {b.shape}"
        if not np.allclose(a, b, 1e-4, 1e-5 + codes, equal_nan=True):
            return f"{a.ravel()[:6]}, expected {b.ravel()[:6]}"
    return ""


def main(cases):
    total = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, nodes, weights, x, keywords in cases():
            why = verdict(sys.argv[1], folder, nodes, weights, x, **keywords)
            total += 1
            if why:
                failed += 1
                print(f"{name}: {why}")
    print(f"{total - failed} of {total} cases agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(cases))
