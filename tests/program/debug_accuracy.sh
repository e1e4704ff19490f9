#!/bin/sh
# `qtk debug-accuracy` and `qtk quantize --auto`: the table, the JSON and the picture belong together, a
# file compared with the model that it was made of gives what its format gives, and what --auto writes is as
# accurate as promised.
# usage: debug_accuracy.sh QTK DIGITS.onnx [PYTHON]
set -eu
qtk=$1 digits=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$qtk" debug-accuracy "$digits" --data builtin:digits --limit 100 --to int4-dynamic --json a.json --svg a.svg \
  >table.txt 2>err.txt
[ ! -s err.txt ] || { echo "WRONG: on stderr:"; cat err.txt; exit 1; }
head -1 table.txt | grep -q '^layer .*SQNR .*cosine'
layers=$(($(wc -l <table.txt) - 2))
[ "$(grep -c 'class="ink-int8"' a.svg)" -eq $((layers + 1)) ] || { echo "WRONG: not a bar a layer"; exit 1; }
! grep -q 'var(' a.svg
"$qtk" quantize "$digits" --to int4-dynamic -o int4.onnx >out.txt
"$qtk" debug-accuracy "$digits" --data builtin:digits --limit 100 --quantized int4.onnx --json b.json >table2.txt
cmp table.txt table2.txt

"$qtk" quantize "$digits" --auto --data builtin:digits --limit 500 --max-drop 0.5 --budget size -o auto.onnx \
  --json auto.json >auto.txt 2>err.txt
[ ! -s err.txt ] || { echo "WRONG: on stderr:"; cat err.txt; exit 1; }
head -1 auto.txt | grep -q '^layer .*format .*why'
"$qtk" compare auto.onnx --data builtin:digits --limit 500 --runs 5 --json check.json >out.txt
"$qtk" quantize "$digits" --auto --data builtin:digits --limit 100 --max-drop 0 -o none.onnx >out.txt
for limit in "--max-size 100KB" "--max-size 60KB" "--max-latency 1000"; do
  "$qtk" quantize "$digits" --auto --data builtin:digits --limit 100 $limit -o within.onnx \
    --json "${limit#--max-}.json" >out.txt
done
[ -n "${3-}" ] || { echo "skipped: no python3 to read the JSON"; exit 0; }
"$3" - $layers <<'END'
import json, sys
a, b = json.load(open("a.json")), json.load(open("b.json"))
assert a["layers"] == b["layers"] and len(a["layers"]) == int(sys.argv[1]) and a["samples"] == 100
for l in a["layers"]:
    assert 0 < l["alone"]["sqnr_db"] < 60 and 0.9 < l["alone"]["cosine"] < 1, l
first = a["layers"][0]  # its input is the same
assert abs(first["alone"]["sqnr_db"] - first["accumulated"]["sqnr_db"]) < 1e-6
auto, check = json.load(open("auto.json")), json.load(open("check.json"))
assert auto["points_lost"] <= 0.5 + 1e-9 and auto["budget"] == "size"
assert auto["after"]["bytes"] < 0.6 * auto["before"]["bytes"], auto["after"]
written = next(v for v in check["variants"] if v["name"] == "fp32")  # as it is stored
assert written["size_bytes"] == auto["after"]["bytes"], (written, auto["after"])
assert abs(written["accuracy"] - auto["after"]["accuracy"]) < 1e-9, (written, auto["after"])
def harm(of):
    picked = [f for l in of["layers"] for f in l["formats"] if f["format"] == l["picked"]]
    return sum(0 if f["format"] == "fp32" else 10 ** (-f["sqnr_db"] / 10) for f in picked)
half, small, slow = (json.load(open(f"{n}.json")) for n in ("size 100KB", "size 60KB", "latency 1000"))
assert 60e3 < half["after"]["bytes"] <= 100e3 and small["after"]["bytes"] <= 60e3, small["after"]
assert 0 < harm(half) < harm(small) and harm(slow) == 0  # no more than it takes
for l in auto["layers"]:
    assert [f["format"] for f in l["formats"]] == ["fp32", "fp16", "int8-dynamic", "int4-dynamic",
        "int8-weight-only", "int4-weight-only"]
    assert l["reason"] and all(f["ms"] > 0 and f["bytes"] > 0 for f in l["formats"]), l
END
