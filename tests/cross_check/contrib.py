#!/usr/bin/env python3
"""Compares recurrent layers and the operators of Microsoft's domain with ONNX Runtime.

usage: contrib.py QTK

As operators.py, whose cases and verdicts these are. Codes that leave an operator are dequantized, so
that a case may say by how many of them (`codes`) the two may differ: ONNX Runtime rounds in another
order. Exits 77 where onnx, onnxruntime or numpy is not installed.
"""
import sys

import operators
from operators import f, i, node, np, random

MS = "com.microsoft"


def u8(*shape):
    return random.integers(0, 256, shape).astype(np.uint8)


def s8(*shape):
    return random.integers(-128, 128, shape).astype(np.int8)


def one(value, kind=np.float32):
    return np.array(value, dtype=kind)


def recurrent():
    """Layers of 5 inputs, 4 states, 3 batches, 6 steps; y, and the last states."""
    for op, gates, extra in (("RNN", 1, {}), ("GRU", 3, {}), ("GRU", 3, {"linear_before_reset": 1}),
                             ("LSTM", 4, {}), ("LSTM", 4, {"input_forget": 1})):
        for direction in ("forward", "reverse", "bidirectional"):
            d = 2 if direction == "bidirectional" else 1
            outputs = ["y", "h"] + (["c"] if op == "LSTM" else [])
            full = {"w": f(d, gates * 4, 5), "r": f(d, gates * 4, 4), "b": f(d, gates * 8),
                    "n": np.int32([6, 2, 4]), "h0": f(d, 3, 4)}
            names = "x w r b n h0"
            if op == "LSTM":
                full.update({"c0": f(d, 3, 4), "p": f(d, 12)})
                names += " c0 p"
            attributes = {"hidden_size": 4, "direction": direction, **extra}
            small = {k: full[k] for k in ("w", "r")}
            x = f(6, 3, 5)
            yield (f"{op} {extra} {direction}", [node(op, "x w r", " ".join(outputs), **attributes)],
                   small, x, {"outputs": outputs})
            yield (f"{op} {extra} {direction}, all inputs",
                   [node(op, names, " ".join(outputs), **attributes)], full, x,
                   {"outputs": outputs})
            yield (f"{op} {extra} {direction}, clip",
                   [node(op, names, " ".join(outputs), clip=0.4, **attributes)], full, x,
                   {"outputs": outputs})
            count = {"RNN": 1, "GRU": 2, "LSTM": 3}[op]
            chosen = ["HardSigmoid", "LeakyRelu", "Softsign", "Affine", "Elu", "ScaledTanh"]
            yield (f"{op} {extra} {direction}, activations",
                   [node(op, names, " ".join(outputs), activations=chosen[:count * d],
                         activation_alpha=[0.3, 0.1, 0.5, 0.7, 0.9][:4],
                         activation_beta=[0.4, 0.1, 0.8], **attributes)] if d == 1 else
                   [node(op, names, " ".join(outputs), activations=["Sigmoid", "Relu", "Tanh"] * 2
                         if count == 3 else ["Sigmoid", "Tanh"] * count, **attributes)],
                   full, x, {"outputs": outputs})


def transformer():
    x = f(2, 3, 8)
    for op in ("Gelu", "QuickGelu", "FastGelu"):
        yield op, [node(op, "x", domain=MS)], {}, x, {}
    for op in ("BiasGelu", "FastGelu"):
        yield f"{op} with a bias", [node(op, "x b", domain=MS)], {"b": f(8)}, x, {}
    weights = {"s": f(2, 3, 8), "g": f(8), "b": f(8), "a": f(8)}
    yield ("SkipLayerNormalization", [node("SkipLayerNormalization", "x s g b a", domain=MS,
                                           epsilon=1e-5)], weights, x, {})
    y = helper_outputs("SkipLayerNormalization", "x s g", ["y", "", "", "sum"], epsilon=1e-3)
    yield "SkipLayerNormalization and the sum", [y], weights, x, {"outputs": ["y", "sum"]}
    yield ("SkipSimplifiedLayerNormalization",
           [helper_outputs("SkipSimplifiedLayerNormalization", "x s g a", ["y", "", "", "sum"],
                           epsilon=1e-5)], weights, x, {"outputs": ["y", "sum"]})
    yield ("SimplifiedLayerNormalization", [node("SimplifiedLayerNormalization", "x g", axis=-1,
                                                 epsilon=1e-5)], weights, x, {})
    angles = np.outer(np.arange(10), 1 / 100 ** (np.arange(2) / 2)).astype(np.float32)
    caches = {"c": np.cos(angles), "s": np.sin(angles)}
    for interleaved in (0, 1):
        yield (f"RotaryEmbedding interleaved {interleaved}",
               [node("RotaryEmbedding", "x p c s", domain=MS, interleaved=interleaved)],
               {"p": np.array([[0, 3, 1], [9, 8, 2]]), **caches}, x, {})
        yield (f"RotaryEmbedding from 4, interleaved {interleaved}",
               [node("RotaryEmbedding", "x p c s", domain=MS, interleaved=interleaved)],
               {"p": i(4), **caches}, f(2, 2, 3, 4), {})
    for ta in (0, 1):
        for tb in (0, 1):
            yield (f"FusedMatMul {ta} {tb}",
                   [node("FusedMatMul", "x w", domain=MS, transA=ta, transB=tb, alpha=0.5)],
                   {"w": f(2, 5, 3) if tb else f(2, 3, 5)}, f(2, 3, 4) if ta else f(2, 4, 3), {})
    for act in ("Relu", "LeakyRelu", "Tanh", "Sigmoid"):
        yield (f"FusedGemm {act}",
               [node("FusedGemm", "x w c", domain=MS, transB=1, alpha=0.7, beta=1.5, activation=act,
                     **({"activation_alpha": 0.3} if act == "LeakyRelu" else {}))],
               {"w": f(5, 8), "c": f(5)}, f(3, 8), {})


def helper_outputs(op, inputs, outputs, **attributes):
    return operators.helper.make_node(op, inputs.split(), outputs, domain=MS, **attributes)


def packed():
    """MatMulNBits."""
    for bits in (2, 4, 8):
        for K, block in ((64, 16), (80, 32), (32, 32)):
            blocks, blob, N = -(-K // block), block * bits // 8, 7
            zeros = -(-blocks * bits // 8)
            weights = {"b": u8(N, blocks, blob), "s": np.abs(f(N * blocks)) / 2**bits,
                       "z": u8(N * zeros), "fz": f(N * blocks) + 3, "a": f(N)}
            keys = {"domain": MS, "K": K, "N": N, "bits": bits, "block_size": block}
            for what, inputs in (("", ["x", "b", "s"]), ("zeros", ["x", "b", "s", "z"]),
                                 ("bias", ["x", "b", "s", "z", "", "a"])):
                yield (f"MatMulNBits {bits} bits K {K} blocks {block} {what}",
                       [operators.helper.make_node("MatMulNBits", inputs, ["y"], **keys)],
                       {n: weights[n] for n in inputs if n in weights}, f(2, 3, K), {})
            if bits == 4:
                yield (f"MatMulNBits K {K} blocks {block}, real zeros",
                       [node("MatMulNBits", "x b s fz", **keys)], weights, f(5, K), {})


def codes():
    """From codes to codes: x is quantized with xs, xz first, y dequantized with ys, yz."""
    for kind, make in ((np.uint8, u8), (np.int8, s8)):
        low = 0 if kind == np.uint8 else -128
        base = {"xs": one(0.02), "xz": one(low + 120, kind), "ys": one(0.03),
                "yz": one(low + 100, kind), "b": make(4, 6), "bs": one(0.015),
                "bz": one(low + 130, kind)}
        sandwich = lambda middle: [node("QuantizeLinear", "x xs xz", "q"), middle,
                                   node("DequantizeLinear", "c ys yz")]
        ms = lambda op, inputs, **attributes: sandwich(
            operators.helper.make_node(op, inputs.split(), ["c"], domain=MS, **attributes))
        near = {"codes": 0.03}
        name = np.dtype(kind).name
        yield f"QLinearAdd {name}", ms("QLinearAdd", "q xs xz b bs bz ys yz"), base, f(4, 6), near
        yield f"QLinearMul {name}", ms("QLinearMul", "q xs xz b bs bz ys yz"), base, f(3, 4, 6), near
        yield (f"QLinearLeakyRelu {name}",
               ms("QLinearLeakyRelu", "q xs xz ys yz", alpha=0.2), base, f(4, 6), near)
        fine = {**base, "ys": one(1 / 256), "yz": one(low, kind)}
        yield (f"QLinearSigmoid {name}", ms("QLinearSigmoid", "q xs xz ys yz"), fine, f(4, 6),
               {"codes": 1 / 256})
        yield (f"QLinearSoftmax {name}", ms("QLinearSoftmax", "q xs xz ys yz", axis=-1, opset=13),
               fine, f(4, 6), {"codes": 1 / 256})
        yield (f"QLinearAveragePool {name}",
               ms("QLinearAveragePool", "q xs xz ys yz", kernel_shape=[3, 2], strides=[2, 1],
                  pads=[1, 0, 1, 1]), base, f(1, 2, 7, 6), near)
        yield (f"QLinearGlobalAveragePool {name}", ms("QLinearGlobalAveragePool", "q xs xz ys yz"),
               base, f(2, 3, 5, 4), near)
        yield (f"QLinearConcat {name}", ms("QLinearConcat", "ys yz q xs xz b bs bz", axis=1), base,
               f(4, 3), near)
        gemm = {**base, "w": s8(6, 5), "ws": np.abs(f(5)) / 50, "wz": np.zeros(5, np.int8),
                "k": random.integers(-999, 999, 5).astype(np.int32)}
        if kind == np.uint8:
            yield (f"QGemm {name}", ms("QGemm", "q xs xz w ws wz k ys yz", alpha=0.5), gemm, f(4, 6),
                   near)
            turned = {**gemm, "w": np.ascontiguousarray(gemm["w"].T)}
            yield (f"QGemm {name} to floats",
                   [node("QuantizeLinear", "x xs xz", "q"),
                    operators.helper.make_node("QGemm", "q xs xz w ws wz k".split(), ["y"],
                                               domain=MS, transB=1)], turned, f(4, 6), {})
    for kind, make in ((np.uint8, u8), (np.int8, s8)):
        w = {"w": make(6, 5), "ws": np.abs(f(5)) / 50, "wz": make(5), "b": f(5)}
        name = np.dtype(kind).name
        yield (f"DynamicQuantizeMatMul {name}",
               [node("DynamicQuantizeMatMul", "x w ws wz b", domain=MS)], w, f(3, 4, 6), {})
        yield (f"MatMulIntegerToFloat {name}",
               [node("DynamicQuantizeLinear", "x", "q s z"),
                node("MatMulIntegerToFloat", "q w s ws z wz b", domain=MS)], w, f(4, 6), {})


def cases():
    for family in (recurrent, transformer, packed, codes):
        yield from family()


if __name__ == "__main__":
    sys.exit(operators.main(cases))
