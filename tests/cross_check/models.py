#!/usr/bin/env python3
"""Compares whole models with ONNX Runtime: trained ones on what they were made for, small ones on
random inputs of the declared types.

usage: models.py QTK DATA

The other runtime works without its optimizer, as the file says. A difference is relative to the
largest value of the output and at most 1e-4 (1e-2 in half precision); where a model quantizes inside,
sums in another order may round to the next code: then one element in 1000 may differ by a twentieth of
the largest, integers by one. Prints a table; models that ONNX Runtime refuses are named and skipped. Exits 77
where onnxruntime, onnx, numpy or the data are missing.
"""
import glob
import os
import subprocess
import sys
import tempfile
import wave

try:
    import numpy as np
    import onnx
    import onnxruntime as ort
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

BOUND, HALF_BOUND = 1e-4, 1e-2
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
         "tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(int16)": np.int16,
         "tensor(uint16)": np.uint16, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
         "tensor(bool)": np.bool_}
# Of types that qtk doesn't have; it must say so.
REFUSED = {"float8__te.cast_fp8_1_fp32.onnx": "float8e4m3fn is not supported"}
QUANTIZING = {"QuantizeLinear", "DynamicQuantizeLinear"}


def reference(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Qtk:
    """`qtk run` on named arrays."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, model, feeds, count):
        command = [self.program, "run", model, "--output", os.path.join(self.folder, "out")]
        for i, (name, array) in enumerate(feeds.items()):
            file = os.path.join(self.folder, f"in.{i}.npy")
            np.save(file, array)
            command += ["--input", f"{name}={file}"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip() or f"exit code {done.returncode}")
        return [np.load(os.path.join(self.folder, f"out.{i}.npy")) for i in range(count)]


def random_inputs(session, rng, sizes):
    """Values of the declared types: every symbol 4, or what `sizes` says."""
    feeds = {}
    for info in session.get_inputs():
        shape = [d if isinstance(d, int) else sizes.get(d, 4) for d in info.shape]
        kind = TYPES[info.type]
        if np.dtype(kind).kind == "f":
            values = rng.random(shape) if "scale" in info.name else rng.standard_normal(shape)
            feeds[info.name] = values.astype(kind)
        elif kind == np.bool_:
            feeds[info.name] = rng.random(shape) < 0.5
        else:
            limits = np.iinfo(kind)
            low, high = (0, 256) if limits.bits > 16 else (limits.min, limits.max + 1)
            feeds[info.name] = rng.integers(low, high, shape).astype(kind)
    return feeds


def difference(got, expected):
    """(relative difference, whether it is within the bound for outputs that no code rounds)."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return float("inf"), False
    if expected.size == 0:
        return 0.0, True
    bound = HALF_BOUND if expected.dtype == np.float16 else BOUND
    a, b = got.astype(np.float64), expected.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("nan"), False
    apart = np.nan_to_num(np.abs(a - b), nan=0.0, posinf=np.inf).max()
    relative = float(apart / max(np.nanmax(np.abs(b)), 1e-30))
    return relative, apart == 0 if expected.dtype.kind in "iub" else relative <= bound


def rounded_otherwise(got, expected):
    """How many elements differ by more than the bound, where they may: a sum on the edge of a code
    that falls to the other side moves what is computed from it. At most one in 1000, or one at all,
    by a twentieth of the largest value, integers by one. None where it is more."""
    a, b = got.astype(np.float64), expected.astype(np.float64)
    if got.shape != expected.shape:
        return None
    apart, top = np.abs(a - b), np.abs(b).max()
    integer = expected.dtype.kind in "iu"
    count = int((apart > (0 if integer else BOUND * top)).sum())
    return count if count <= max(1, b.size // 1000) and apart.max() <= (1 if integer else top / 20) else None


def compare(qtk, path, session, feeds):
    """(worst difference, verdict)."""
    expected = session.run(None, feeds)
    try:
        got = qtk.run(path, feeds, len(expected))
    except RuntimeError as why:
        return None, f"DIFFERS, {str(why).replace(path + ': ', '')}"
    results = [difference(a, b) for a, b in zip(got, expected)]
    worst = max((d for d, _ in results), key=lambda d: np.inf if d != d else d)
    if all(good for _, good in results):
        return worst, "ok"
    rounds = any(n.op_type in QUANTIZING
                 for n in onnx.load(path, load_external_data=False).graph.node)
    moved = [rounded_otherwise(a, b) for a, b in zip(got, expected)] if rounds else [None]
    if None not in moved:
        return worst, f"ok, {sum(moved)} of {sum(b.size for b in expected)} round otherwise"
    return worst, "DIFFERS"


def quantized(qtk, data):
    """The small models of ONNX Runtime's tests."""
    for path in sorted(glob.glob(os.path.join(data, "onnx/quantized_models/*.onnx"))):
        name = os.path.basename(path).removeprefix("onnxruntime__test__testdata__")
        # Scales are for one column or for all; which, only the run says.
        for sizes in ({"unk_1": 1, "unk_2": 1}, {"C": 1, "batch": 2, "seq_len": 5}):
            try:
                session = reference(path)
                feeds = random_inputs(session, np.random.default_rng(1), sizes)
                session.run(None, feeds)
                break
            except Exception as why:  # of several classes of its own
                refused = str(why).splitlines()[0].split(" : ")[-1]
        else:
            yield name, None, f"skipped, ONNX Runtime: {refused[:120]}"
            continue
        worst, verdict = compare(qtk, path, session, feeds)
        if name in REFUSED and REFUSED[name] in verdict:
            verdict = verdict.replace("DIFFERS, qtk", "refused")
        yield name, worst, verdict


def trained(qtk, data):
    """One random batch for each trained model of a single input."""
    for name, file, sizes in (("mnist_cntk", "onnx/mnist_cntk/mnist.onnx", {}),
                              ("resnet20", "cifar10/resnet20_cifar10.onnx", {}),
                              ("keypoint", "onnx/keypoint/keypoint_classifier.onnx", {}),
                              ("magika", "onnx/magika_fast_v2_1/model.onnx", {}),
                              ("ultraface", "onnx/ultraface/version-RFB-320.onnx", {})):
        path = os.path.join(data, file)
        if not os.path.exists(path):
            yield name, None, "skipped, no file"
            continue
        session = reference(path)
        yield name, *compare(qtk, path, session, random_inputs(session, np.random.default_rng(2), sizes))


def magika_files(qtk, data):
    """The first and last 512 bytes of each sample file, stripped, padded with 256: same label."""
    folder = os.path.join(data, "onnx/magika_fast_v2_1")
    rows, padding, half = [], 256, 512
    for file in sorted(glob.glob(os.path.join(folder, "files/*/*"))):
        with open(file, "rb") as f:
            content = f.read()
        first, last = content[:4096].lstrip()[:half], content[-4096:].rstrip()[-half:]
        rows.append(list(first) + [padding] * (2 * half - len(first) - len(last)) + list(last)
                    if len(first) < half or len(last) < half else list(first) + list(last))
    if not rows:
        return
    path = os.path.join(folder, "model.onnx")
    session = reference(path)
    feeds = {session.get_inputs()[0].name: np.array(rows, dtype=np.int32)}
    expected = session.run(None, feeds)[0]
    got = qtk.run(path, feeds, 1)[0]
    same = int((got.argmax(1) == expected.argmax(1)).sum())
    worst, good = difference(got, expected)
    yield f"magika, {len(rows)} files", worst, f"{'ok' if good and same == len(rows) else 'DIFFERS'}, {same} labels equal"


def boxes(scores, corners, threshold=0.7, overlap=0.3):
    """Faces, best first, each above the threshold and apart from those before it."""
    found = []
    for i in np.argsort(-scores[0, :, 1], kind="stable"):
        if scores[0, i, 1] <= threshold:
            break
        a = corners[0, i]

        def shared(b):
            w, h = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            area = max(w, 0) * max(h, 0)
            return area / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - area)

        if all(shared(b) <= overlap for b in found):
            found.append(a)
    return np.array(found)


def faces(qtk, data):
    """Boxes on the photographs."""
    try:
        from PIL import Image
    except ImportError:
        yield "ultraface, photographs", None, "skipped, no PIL"
        return
    path = os.path.join(data, "onnx/ultraface/version-RFB-320.onnx")
    for photo in sorted(glob.glob(os.path.join(data, "onnx/ultraface/*.jpg"))):
        session = reference(path)
        pixels = np.asarray(Image.open(photo).convert("RGB").resize((320, 240)), dtype=np.float32)
        feeds = {session.get_inputs()[0].name: ((pixels - 127) / 128).transpose(2, 0, 1)[None].copy()}
        a, b = boxes(*qtk.run(path, feeds, 2)), boxes(*session.run(None, feeds))
        good = a.shape == b.shape and len(a) > 0 and np.abs(a - b).max() <= 1e-4
        yield (f"ultraface, {os.path.basename(photo)}",
               float(np.abs(a - b).max()) if a.shape == b.shape and len(a) else float("inf"),
               f"{'ok' if good else 'DIFFERS'}, {len(a)} faces")


def speech(qtk, data, chunks=20, lanes=75):
    """Probabilities of speech along the recording, cut into `lanes` parts that run as one batch, each
    with the state that it carries from frame to frame: 512 new samples behind the 64 before them."""
    folder = os.path.join(data, "onnx/silero_vad")
    path = os.path.join(folder, "silero_vad_16k_op15.onnx")
    if not os.path.exists(path):
        return
    with wave.open(os.path.join(folder, "test.wav")) as w:
        samples = np.frombuffer(w.readframes(w.getnframes()), dtype="<i2") / np.float32(32768)
    step, context = 512, 64
    lanes = min(lanes, samples.size // (chunks * step))
    parts = samples[: lanes * chunks * step].astype(np.float32).reshape(lanes, chunks * step)
    parts = np.pad(parts, ((0, 0), (context, 0)))
    session = reference(path)
    states = [np.zeros((2, lanes, 128), np.float32)] * 2
    worst, flips, loud = 0.0, 0, 0
    for c in range(chunks):
        x = np.ascontiguousarray(parts[:, c * step: (c + 1) * step + context])
        answers = []
        for k, run in enumerate((lambda f: qtk.run(path, f, 2), lambda f: session.run(None, f))):
            p, states[k] = run({"input": x, "state": states[k], "sr": np.array(16000, np.int64)})
            answers.append(p)
        worst = max(worst, float(np.abs(answers[0] - answers[1]).max()))
        flips += int(((answers[0] > 0.5) != (answers[1] > 0.5)).sum())
        loud += int((answers[1] > 0.5).sum())
    good = worst <= BOUND and flips == 0 and loud > 0
    yield (f"silero_vad, {lanes * chunks} frames", worst,
           f"{'ok' if good else 'DIFFERS'}, {loud} of speech")


def main():
    program, data = sys.argv[1], sys.argv[2]
    if not os.path.isdir(os.path.join(data, "onnx")):
        print(f"skipped: no models under {data}")
        return 77
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        qtk = Qtk(program, folder)
        for group in (trained, magika_files, faces, speech, quantized):
            for name, worst, verdict in group(qtk, data):
                failed += verdict.startswith("DIFFERS")
                print(f"{name:72} {'' if worst is None else f'{worst:.1e}':8} {verdict}", flush=True)
    print(f"{failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
