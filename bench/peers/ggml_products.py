"""llama.cpp's matrix products, by its own library ggml: Q4_0 and Q8_0 weights (blocks of 32 with an
fp16 scale), fp32 activations that it quantizes to Q8_0 inside. Weights are repacked where ggml has
a repacked kernel, as llama.cpp does. The library is that of the Python package llama-cpp-python, or
of the folder in GGML_LIB (a build of llama.cpp with shared libraries)."""
import ctypes
import importlib.util
import math
import os

import numpy as np

from ort_products import ENOUGH, codes

PEER = "ggml"
BLOCK = 32
F32, Q4_0, Q8_0 = 0, 2, 8  # enum ggml_type

# qtk's format: (the peer's name, type, bytes of a block)
PRODUCTS = {
    "int4-g32-dynamic": ("ggml Q4_0", Q4_0, 18),
    "int8-dynamic": ("ggml Q8_0 (blocks of 32)", Q8_0, 34),
}


def _library():
    folder = os.environ.get("GGML_LIB")
    if not folder:
        spec = importlib.util.find_spec("llama_cpp")  # not imported: only its files are needed
        if spec is None:
            raise ImportError("no package llama_cpp and no GGML_LIB")
        folder = os.path.join(os.path.dirname(spec.origin), "lib")
    for name in ("base", "cpu"):
        library = ctypes.CDLL(os.path.join(folder, f"libggml-{name}.so"), mode=ctypes.RTLD_GLOBAL)
    return library


class _InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p),
                ("no_alloc", ctypes.c_bool)]


class _Tensor(ctypes.Structure):  # how struct ggml_tensor begins
    _fields_ = [("type", ctypes.c_int), ("buffer", ctypes.c_void_p)]


_ggml = _library()


def _function(name, result, *arguments):
    f = getattr(_ggml, name)
    f.restype, f.argtypes = result, arguments
    return f


_p, _size, _int, _i64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int64
_init = _function("ggml_init", _p, _InitParams)
_free = _function("ggml_free", None, _p)
_new_2d = _function("ggml_new_tensor_2d", _p, _p, _int, _i64, _i64)
_mul_mat = _function("ggml_mul_mat", _p, _p, _p, _p)
_new_graph = _function("ggml_new_graph_custom", _p, _p, _size, ctypes.c_bool)
_expand = _function("ggml_build_forward_expand", None, _p, _p)
_overhead = _function("ggml_tensor_overhead", _size)
_graph_overhead = _function("ggml_graph_overhead_custom", _size, _size, ctypes.c_bool)
_cpu_init = _function("ggml_backend_cpu_init", _p)
_set_threads = _function("ggml_backend_cpu_set_n_threads", None, _p, _int)
_backend_free = _function("ggml_backend_free", None, _p)
_device = _function("ggml_backend_get_device", _p, _p)
_registry = _function("ggml_backend_dev_backend_reg", _p, _p)
_address = _function("ggml_backend_reg_get_proc_address", _p, _p, ctypes.c_char_p)
_supports = _function("ggml_backend_dev_supports_op", ctypes.c_bool, _p, _p)
_alloc = _function("ggml_backend_alloc_ctx_tensors", _p, _p, _p)
_alloc_from = _function("ggml_backend_alloc_ctx_tensors_from_buft", _p, _p, _p)
_alloc_buffer = _function("ggml_backend_buft_alloc_buffer", _p, _p, _size)
_buffer_free = _function("ggml_backend_buffer_free", None, _p)
_set = _function("ggml_backend_tensor_set", None, _p, _p, _size, _size)
_compute = _function("ggml_backend_graph_compute", _int, _p, _p)

_version = _function("ggml_version", ctypes.c_char_p)

_Log = ctypes.CFUNCTYPE(None, _int, ctypes.c_char_p, _p)
_silent = _Log(lambda level, text, data: None)  # a line for each repacked tensor otherwise
_function("ggml_log_set", None, _Log, _p)(_silent, None)


def version():
    return f"ggml {_version().decode()}"


def _context(tensors, more=0):
    return _init(_InitParams((tensors + 1) * _overhead() + more, None, True))


def _extra_buffer_types(device):
    get = _address(_registry(device), b"ggml_backend_dev_get_extra_bufts")
    if not get:
        return []
    listed = ctypes.CFUNCTYPE(ctypes.POINTER(_p), _p)(get)(device)
    found = []
    while listed and listed[len(found)]:
        found.append(listed[len(found)])
    return found


def _blocks(type, N, K, seed):
    """Random codes as ggml stores them, every scale 0.001."""
    count = N * K // BLOCK
    out = np.empty((count, 18 if type == Q4_0 else 34), np.uint8)  # fp16 scale, then codes
    out[:, :2] = np.frombuffer(np.float16(0.001).tobytes(), np.uint8)
    values = codes(count * BLOCK, seed).reshape(count, BLOCK)
    if type == Q4_0:
        upper = ((values >> 4) + 8).astype(np.uint8)
        out[:, 2:] = upper[:, :16] | upper[:, 16:] << 4
    else:
        out[:, 2:] = values.view(np.uint8)
    return out


class Product:
    """A graph and its tensors: run() makes `count` products."""

    def __init__(self, format, M, N, K, threads):
        self.name, type, block_bytes = PRODUCTS[format]
        self.contexts, self.buffers, self.backend = [], [], None
        if K % BLOCK != 0:
            raise ValueError(f"K = {K} is no multiple of {BLOCK}")
        self.count = 1 if M > 32 else min(2048, math.ceil(ENOUGH / (N * K // BLOCK * block_bytes)))
        self.backend = _cpu_init()
        _set_threads(self.backend, threads)
        device = _device(self.backend)

        weights = _context(self.count)
        nodes = 2 * self.count + 8
        work = _context(nodes, _graph_overhead(nodes, False))
        self.contexts = [weights, work]
        w = [_new_2d(weights, type, K, N) for _ in range(self.count)]
        a = _new_2d(work, F32, K, M)
        c = [_mul_mat(work, each, a) for each in w]
        self.graph = _new_graph(work, nodes, False)
        for each in c:
            _expand(self.graph, each)

        self.buffers.append(self._place(weights, device, w[0], c[0]) or
                            _alloc(weights, self.backend))
        self.buffers.append(_alloc(work, self.backend))
        for i, each in enumerate(w):
            data = _blocks(type, N, K, i)
            _set(each, data.ctypes.data, 0, data.nbytes)
        values = np.random.default_rng(2).uniform(-1, 1, (M, K)).astype(np.float32)
        _set(a, values.ctypes.data, 0, values.nbytes)

    @staticmethod
    def _place(weights, device, w, c):
        """The weights in the first special kind of memory that takes them; none if there is none."""
        head = _Tensor.from_address(w)
        for kind in _extra_buffer_types(device):
            probe = _alloc_buffer(kind, 0)  # a tensor's memory is what supports_op looks at
            head.buffer = probe
            fits = _supports(device, c)
            head.buffer = None
            _buffer_free(probe)
            if fits:
                return _alloc_from(weights, kind)
        return None

    def run(self):
        if _compute(self.backend, self.graph) != 0:
            raise RuntimeError("ggml_backend_graph_compute failed")

    def __del__(self):
        for buffer in self.buffers:
            _buffer_free(buffer)
        for context in self.contexts:
            _free(context)
        if self.backend:
            _backend_free(self.backend)
