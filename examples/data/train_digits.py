#!/usr/bin/env python3
"""Trains the digit classifier that the program `qtk` carries by default; writes digits.onnx.

    pip install torch onnx onnxruntime numpy        # and g++ on the path
    python3 examples/data/train_digits.py           # 12 minutes on two cores

It prints, for 10,000 digits of seed 2026, which training never sees:

    digits.onnx: 278,331 bytes, accuracy on seed 2026: 98.74 %

The digits come from examples/qtk/digits.hpp, compiled here through dump_digits.cpp, so training
and the program see the same pixels. Every epoch is written anew with a seed of its own.
The graph is built with onnx.helper instead of an exporter: each node and each weight has a plain
name, and BatchNormalization stays a node of its own, for qtk to fuse.
"""

import pathlib
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
SIDE = 28
TEST_SEED = 2026  # the program's test set: never train on it
VALIDATION_SEED = 999_999
EPOCHS = 12
DIGITS_PER_EPOCH = 40_000
BATCH = 128


class Digits:
    """Compiles the generator once, then makes sets of (images, labels) by seed."""

    def __init__(self, folder):
        self.program = pathlib.Path(folder) / "dump_digits"
        self.file = pathlib.Path(folder) / "digits.bin"
        source = HERE / "dump_digits.cpp"
        subprocess.run(["g++", "-std=c++20", "-O2", source, "-o", self.program], check=True)

    def make(self, count, seed):
        subprocess.run([self.program, str(count), str(seed), self.file], check=True)
        raw = np.fromfile(self.file, np.uint8)
        pixels = count * SIDE * SIDE
        images = raw[:pixels].reshape(count, 1, SIDE, SIDE).astype(np.float32) / np.float32(255)
        return images, raw[pixels:].astype(np.int64)


class Net(nn.Module):
    """A small residual network; about 68,000 weights, about 11 million products per digit."""

    def __init__(self):
        super().__init__()
        for i, (inputs, outputs, kernel) in enumerate(
            [(1, 16, 3), (16, 32, 3), (32, 32, 3), (32, 32, 3), (32, 64, 3), (64, 128, 1)], 1
        ):
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(outputs))
        self.fc1 = nn.Linear(128, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        relu, pool = torch.relu, nn.functional.max_pool2d
        x = relu(self.bn1(self.conv1(x)))
        x = pool(relu(self.bn2(self.conv2(x))), 2)  # (N, 32, 14, 14)
        y = relu(self.bn3(self.conv3(x)))
        x = relu(x + self.bn4(self.conv4(y)))
        x = pool(relu(self.bn5(self.conv5(x))), 2)  # (N, 64, 7, 7)
        x = relu(self.bn6(self.conv6(x)))
        x = x.mean((2, 3))  # (N, 128)
        return self.fc2(relu(self.fc1(x)))


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        chunks = torch.from_numpy(images).split(500)
        best = torch.cat([net(chunk).argmax(1) for chunk in chunks]).numpy()
    return float((best == labels).mean())


def train(digits):
    torch.manual_seed(7)
    net = Net()
    validation = digits.make(5000, VALIDATION_SEED)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * (DIGITS_PER_EPOCH // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for epoch in range(1, EPOCHS + 1):
        start = time.time()
        images, labels = (torch.from_numpy(a) for a in digits.make(DIGITS_PER_EPOCH, epoch))
        order = torch.randperm(DIGITS_PER_EPOCH)
        total = 0.0
        net.train()
        for step in range(DIGITS_PER_EPOCH // BATCH):
            pick = order[step * BATCH : (step + 1) * BATCH]
            loss = nn.functional.cross_entropy(net(images[pick]), labels[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch:2}: loss {total / (step + 1):.4f}, "
            f"validation {100 * accuracy(net, *validation):.2f} %, {time.time() - start:.0f} s",
            flush=True,
        )
    return net.eval()


def to_onnx(net):
    """The same network as an ONNX model: input "image" (N, 1, 28, 28), output "logits" (N, 10)."""
    nodes, weights = [], []

    def weight(name, value):
        array = np.ascontiguousarray(value.detach().numpy(), dtype=np.float32)
        weights.append(numpy_helper.from_array(array, name))
        return name

    def node(op, name, inputs, output=None, **attributes):
        output = output or f"{name}_out"
        nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def conv_bn(i, x):
        conv, bn = getattr(net, f"conv{i}"), getattr(net, f"bn{i}")
        kernel, pad = conv.kernel_size[0], conv.padding[0]
        x = node(
            "Conv", f"conv{i}", [x, weight(f"conv{i}.weight", conv.weight)],
            kernel_shape=[kernel, kernel], pads=[pad] * 4, strides=[1, 1],
        )
        parameters = [
            weight(f"bn{i}.scale", bn.weight), weight(f"bn{i}.bias", bn.bias),
            weight(f"bn{i}.mean", bn.running_mean), weight(f"bn{i}.var", bn.running_var),
        ]
        return node("BatchNormalization", f"bn{i}", [x, *parameters], epsilon=bn.eps)

    def relu(i, x):
        return node("Relu", f"relu{i}", [x])

    def pool(i, x):
        return node("MaxPool", f"pool{i}", [x], kernel_shape=[2, 2], strides=[2, 2])

    def gemm(i, x, output=None):
        fc = getattr(net, f"fc{i}")
        parameters = [weight(f"fc{i}.weight", fc.weight), weight(f"fc{i}.bias", fc.bias)]
        return node("Gemm", f"fc{i}", [x, *parameters], output, transB=1)

    x = relu(1, conv_bn(1, "image"))
    x = pool(1, relu(2, conv_bn(2, x)))
    y = conv_bn(4, relu(3, conv_bn(3, x)))
    x = relu(4, node("Add", "add", [x, y]))
    x = pool(2, relu(5, conv_bn(5, x)))
    x = relu(6, conv_bn(6, x))
    x = node("Flatten", "flatten", [node("GlobalAveragePool", "average", [x])], axis=1)
    gemm(2, relu(7, gemm(1, x)), "logits")

    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        weights,
        doc_string="Classifies 28 x 28 gray digits; pixels in [0, 1], bright ink on dark paper.",
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="qtk examples/data/train_digits.py",
        doc_string="The default model of the program qtk, trained on the digits it generates.",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    torch.set_num_threads(2)
    path = HERE / "digits.onnx"
    with tempfile.TemporaryDirectory() as folder:
        digits = Digits(folder)
        net = train(digits)
        onnx.save(to_onnx(net), path)
        images, labels = digits.make(10_000, TEST_SEED)

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"image": images})[0]
    with torch.no_grad():
        expected = net(torch.from_numpy(images)).numpy()
    print(
        f"digits.onnx: {path.stat().st_size:,} bytes, accuracy on seed {TEST_SEED}: "
        f"{100 * (logits.argmax(1) == labels).mean():.2f} % "
        f"(largest difference to torch {np.abs(logits - expected).max():.1e})"
    )


if __name__ == "__main__":
    main()
