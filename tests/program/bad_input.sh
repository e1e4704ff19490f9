#!/bin/sh
# Bad input gets one clear line on stderr, exit code 1, and writes nothing.
# usage: bad_input.sh QTK DIGITS.onnx BAD_MODELS
set -u
qtk=$1 digits=$2 bad_models=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
wrong=0

# refuses PATTERN ARGUMENTS...: exit code 1, one line that matches.
refuses() {
  pattern=$1
  shift
  "$qtk" "$@" >out.txt 2>err.txt
  code=$?
  if [ $code -ne 1 ] || [ "$(wc -l <err.txt)" -ne 1 ] || ! grep -q -e "$pattern" err.txt ||
     LC_ALL=C grep -q "[[:cntrl:]]" err.txt; then
    echo "WRONG ($code): qtk $*: expected '$pattern', got:"
    cat err.txt
    wrong=$((wrong + 1))
  fi
}

head -c 0 "$digits" >empty.onnx
head -c 1000 "$digits" >short.onnx
head -c 200000 "$digits" >long.onnx
head -c 5000 /dev/urandom >random.onnx
for bad in empty short long random; do
  refuses "$bad.onnx" info $bad.onnx
  refuses "$bad.onnx" compare $bad.onnx --data builtin:digits --json out.json --report out.html
  refuses "$bad.onnx" quantize $bad.onnx --to int8-dynamic -o out.onnx
done
refuses "absent.onnx" info absent.onnx
refuses "" info .
refuses "unknown format 'int3'" quantize "$digits" --to int3 -o out.onnx
refuses "unknown source" compare "$digits" --data nonsense
refuses "absent.csv" compare "$digits" --data csv:absent.csv --json out.json
refuses "t10k-images" compare "$digits" --data mnist:absent
printf '1,2,3\n2,x,4\n' >bad.csv
refuses "bad.csv line 2: 'x' is not a number" compare "$digits" --data csv:bad.csv
printf '1,2,3\n2,4\n' >ragged.csv
refuses "ragged.csv line 2: 2 fields" compare "$digits" --data csv:ragged.csv
printf '1,2,3\n2,4,5\n' >small.csv
refuses "input 'image'" compare "$digits" --data csv:small.csv --json out.json --report out.html
head -c 3000 /dev/urandom >bad.npz
refuses "bad.npz" compare "$digits" --data npz:bad.npz
printf 'nan,2\n1,3\n' >label.csv
refuses "label.csv line 1: label nan is no class" compare "$digits" --data csv:label.csv
printf '1e30,2\n' >label.csv
refuses "is no class" compare "$digits" --data csv:label.csv

# Files that are well-formed and mean harm.
"$bad_models" . || exit 1
refuses "Linear 'fc'.*row 0" quantize nan.onnx --to int8-dynamic -o out.onnx
refuses "operator ImageDecoder is not supported" profile unsupported.onnx --batch 1
refuses "Pad 'pad': mode 'a?b?\[31m'" profile escape.onnx
refuses "axis 0 is sliced twice" profile twice.onnx
refuses "Conv 'c'\|Reshape 'r'" profile nothing.onnx
refuses "a bound of fp32 \[0\]" profile bound.onnx
refuses "in 4 groups" profile groups.onnx
refuses "" profile expand.onnx
refuses "operator set 6" profile old.onnx
refuses "Tile 'tile': would take .* the limit is" profile tile.onnx
refuses "Resize 'resize': would take .* the limit is" profile resize.onnx
refuses "OneHot 'hot': would take .* the limit is" profile onehot.onnx
refuses "DFT 'dft'" profile dft.onnx
refuses "ConstantOfShape 'empty'.*many rows" profile rows.onnx
refuses "Einsum 'product'.*9 labels" profile einsum.onnx
refuses "Add 'sum'.*fp32 and int64" profile mixed.onnx
refuses "graphs within graphs" profile deep.onnx
refuses "input 'x': the model does not say" profile shapeless.onnx
refuses "input 'x': the model does not say" compare shapeless.onnx --data csv:small.csv
"$qtk" info unsupported.onnx >info.txt 2>&1 && grep -q "ImageDecoder (not supported)" info.txt || {
  echo "WRONG: info of a model with an operator that isn't supported:"
  cat info.txt
  wrong=$((wrong + 1))
}

# Models that run and give no row of scores for each sample, or none that is a number.
printf '0,2,1\n1,3,4\n0,1,1\n' >two.csv
refuses "output 'y': is \[1, 2\] for 3 samples: no class" compare columns.onnx --data csv:two.csv
refuses "ArgMax 'best': input 0 is missing" compare argmax.onnx --data csv:two.csv
refuses "output 'y': is int64" compare shape.onnx --data csv:two.csv
refuses "output 'y': is \[1, 2\] for 3 samples: no row" compare first.onnx --data csv:two.csv
refuses "sample 0: the model answers NaN" compare infinite.onnx --data csv:two.csv --json out.json
refuses "DequantizeLinear 'real': a scale is nan" compare scale.onnx --data csv:two.csv
refuses "input 'x': is int32 \[N, 2\], data are fp32" compare integers.onnx --data csv:two.csv
printf '0,2,1\n1,nan,4\n' >nan.csv
refuses "sample 1: the model answers NaN" compare two.onnx --data csv:nan.csv --report out.html

# Layers' errors and formats by measurement.
refuses "data" debug-accuracy "$digits"
refuses "unknown format 'int3'" debug-accuracy "$digits" --data builtin:digits --to int3
refuses "absent.onnx" debug-accuracy "$digits" --data builtin:digits --quantized absent.onnx
refuses "excludes" debug-accuracy "$digits" --data builtin:digits --quantized "$digits" --to fp32
refuses "has no layers" debug-accuracy two.onnx --data csv:two.csv --svg out.svg --json out.json
refuses "not two forms of one model" debug-accuracy "$digits" --data builtin:digits --limit 20 \
  --quantized two.onnx
refuses "needs --data" quantize "$digits" --auto -o out.onnx
refuses "names no format" quantize "$digits" -o out.onnx
refuses "excludes" quantize "$digits" --auto --to int8-dynamic --data builtin:digits -o out.onnx
refuses "--budget" quantize "$digits" --auto --budget money --data builtin:digits -o out.onnx
refuses "--max-drop" quantize "$digits" --auto --max-drop -1 --data builtin:digits -o out.onnx
refuses "least are about" quantize "$digits" --auto --max-size 1KB --data builtin:digits --limit 20 -o out.onnx
refuses "excludes" quantize "$digits" --auto --max-size 1KB --max-latency 1 --data builtin:digits -o out.onnx
refuses "--max-size" quantize "$digits" --auto --max-size much --data builtin:digits -o out.onnx
refuses "--max-latency" quantize "$digits" --auto --max-latency 0 --data builtin:digits -o out.onnx
refuses "unknown source" quantize "$digits" --auto --data nonsense -o out.onnx
refuses "has no layers" quantize two.onnx --auto --data csv:two.csv -o out.onnx
refuses "absent/out.json" quantize "$digits" --auto --data builtin:digits -o out.onnx --json absent/out.json

# Nothing is printed of what fails later.
refuses "Linear 'fc'.*row 0" info nan.onnx
[ ! -s out.txt ] || { echo "WRONG: info of NaN weights printed half"; wrong=$((wrong + 1)); }
refuses "absent/trace.json" profile "$digits" --trace absent/trace.json
[ ! -s out.txt ] || { echo "WRONG: profile printed before its trace failed"; wrong=$((wrong + 1)); }
if [ -w /dev/full ]; then
  for command in "info" "profile"; do
    "$qtk" $command "$digits" >/dev/full 2>err.txt && { echo "WRONG: $command to a full disk"; wrong=$((wrong + 1)); }
    grep -q "stdout: cannot be written" err.txt || { cat err.txt; wrong=$((wrong + 1)); }
  done
fi

# Outputs that cannot be written: neither of two files is.
refuses "absent/out.json" compare "$digits" --data builtin:digits --limit 20 --runs 5 \
  --report out.html --json absent/out.json
refuses "absent/out.onnx" quantize "$digits" --to int8-dynamic -o absent/out.onnx
refuses "" quantize "$digits" --to int8-dynamic -o .

# Stopped on the way: nothing half-written stays.
"$qtk" compare "$digits" --data builtin:digits --runs 100000 --json out.json --report out.html \
  >out.txt 2>&1 &
sleep 1
kill -TERM $!
wait $! 2>wait.txt && { echo "WRONG: compare was done before it was stopped"; wrong=$((wrong + 1)); }

# Usage.
refuses "data" compare "$digits"
refuses "subcommand" nonsense
refuses "" profile "$digits" --threads -3
refuses "--limit" compare "$digits" --data builtin:digits --limit -1
refuses "" profile "$digits" --shape 1,2
refuses "--shape" profile "$digits" --shape 1,1,1,1,1,1,1,1,1,1,1,1
QTK_ISA=sse9 refuses "unknown ISA 'sse9'" cpu
for written in out.json out.html out.svg out.onnx *.tmp*; do
  [ ! -e $written ] || { echo "WRONG: $written was written"; wrong=$((wrong + 1)); }
done
echo "$wrong wrong"
[ $wrong -eq 0 ]
