"""Matrix products of ONNX Runtime, C (M, N) = A (M, K) * W (N, K)^T: a model of one node for each
copy of the weights, so that one run of the session reads all copies and Python's share of the time
is divided among them."""
import math

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

PEER = "ort"
BLOCK = 32
ENOUGH = 256 << 20  # bytes of weights for few rows: no last-level cache holds them

_pool = None


def version():
    return f"ONNX Runtime {ort.__version__}"


def codes(count, seed):
    """Random int8 codes on a bell curve (sigma 32, within +-127), others for another seed: ONNX
    Runtime seems to share initializers of equal content, and shared ones would stay in the cache."""
    global _pool
    if _pool is None:
        bell = np.random.default_rng(1).normal(0, 32, (1 << 22) + 4099)
        _pool = np.clip(np.rint(bell), -127, 127).astype(np.int8)
    return np.resize(np.roll(_pool, seed * 7919), count)


def _tensor(name, array):
    return onnx.numpy_helper.from_array(array, name)


def _fp32(N, K, i):
    w = codes(N * K, i).astype(np.float32).reshape(K, N) * np.float32(0.001)
    return "MatMul", "", [_tensor(f"w{i}", w)], {}


def _int8(N, K, i):
    w = _tensor(f"w{i}", codes(N * K, i).reshape(K, N))
    return "MatMulInteger", "", [w, _tensor(f"z{i}", np.uint8(127))], {}


def _int8_dynamic(N, K, i):
    w = _tensor(f"w{i}", codes(N * K, i).reshape(K, N))
    scales = _tensor(f"s{i}", np.full(N, 0.001, np.float32))
    return "DynamicQuantizeMatMul", "com.microsoft", [w, scales], {}


def _int4(level):
    def make(N, K, i):
        groups = math.ceil(K / BLOCK)
        upper = (codes(N * groups * BLOCK, i) >> 4) + 8
        packed = (upper[0::2] | upper[1::2] << 4).astype(np.uint8)
        w = _tensor(f"w{i}", packed.reshape(N, groups, BLOCK // 2))
        scales = _tensor(f"s{i}", np.full(N * groups, 0.001, np.float32))
        return ("MatMulNBits", "com.microsoft", [w, scales],
                {"K": K, "N": N, "bits": 4, "block_size": BLOCK, "accuracy_level": level})

    return make


# qtk's format: (the peer's name, one node's operator, bytes of W per element)
PRODUCTS = {
    "fp32": ("ort MatMul", _fp32, 4),
    "int8": ("ort MatMulInteger", _int8, 1),
    "int8-dynamic": ("ort DynamicQuantizeMatMul", _int8_dynamic, 1),
    "int4-g32-dynamic": ("ort MatMulNBits acc 4", _int4(4), 0.625),
    "int4w-g32": ("ort MatMulNBits acc 0", _int4(0), 0.625),
}


class Product:
    """A session and its buffers: run() makes `count` products."""

    def __init__(self, format, M, N, K, threads):
        self.name, make, bytes_each = PRODUCTS[format]
        self.count = 1 if M > 32 else min(2048, math.ceil(ENOUGH / (N * K * bytes_each)))
        integer = format == "int8"
        nodes, weights, outputs = [], [], []
        for i in range(self.count):
            op, domain, tensors, attributes = make(N, K, i)
            inputs = ["a"] + [t.name for t in tensors]
            if op == "MatMulInteger":
                inputs = ["a", f"w{i}", f"z{i}"]
            nodes.append(helper.make_node(op, inputs, [f"c{i}"], domain=domain, **attributes))
            weights += tensors
            outputs.append(helper.make_tensor_value_info(
                f"c{i}", TensorProto.INT32 if integer else TensorProto.FLOAT, [M, N]))
        a = helper.make_tensor_value_info(
            "a", TensorProto.UINT8 if integer else TensorProto.FLOAT, [M, K])
        graph = helper.make_graph(nodes, "products", [a], outputs, weights)
        model = helper.make_model(graph, ir_version=8, opset_imports=[
            helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(model.SerializeToString(), options,
                                            providers=["CPUExecutionProvider"])
        random = np.random.default_rng(2)
        self.a = (random.integers(0, 256, (M, K)).astype(np.uint8) if integer else
                  random.uniform(-1, 1, (M, K)).astype(np.float32))
        self.c = [np.empty((M, N), np.int32 if integer else np.float32)
                  for _ in range(self.count)]
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input("a", self.a)
        for i, c in enumerate(self.c):
            self.binding.bind_output(f"c{i}", "cpu", 0, c.dtype.type, c.shape, c.ctypes.data)

    def run(self):
        self.session.run_with_iobinding(self.binding)
