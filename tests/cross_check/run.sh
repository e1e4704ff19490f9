#!/bin/sh
# Runs the comparison with ONNX Runtime on the embedded model and on those of the data collection.
# usage: run.sh PYTHON QTK
python=$1 qtk=$2
here=$(cd "$(dirname "$0")" && pwd)
data=${QTK_TEST_DATA:-$here/../../../shared/data}
set -- "$here/../../examples/data/digits.onnx"
for model in onnx/mnist_cntk/mnist.onnx cifar10/resnet20_cifar10.onnx onnx/keypoint/keypoint_classifier.onnx; do
  if [ -e "$data/$model" ]; then set -- "$@" "$data/$model"; else echo "skipped: no $model"; fi
done
exec "$python" "$here/compare.py" "$qtk" "$@"
