#!/bin/sh
# What `qtk compare` writes: the table alone where it is piped, JSON of the agreed form, sizes and errors in
# the order that the formats have; a page that needs nothing from elsewhere.
# usage: compare.sh QTK DIGITS.onnx [PYTHON]
set -eu
qtk=$1 digits=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$qtk" compare "$digits" --data builtin:digits --limit 300 --runs 5 --json out.json --report out.html \
  >table.txt 2>err.txt
[ ! -s err.txt ] || { echo "WRONG: piped, and yet on stderr:"; cat err.txt; exit 1; }
[ "$(wc -l <table.txt)" -eq 12 ] || { echo "WRONG: more or less than header, line and ten rows:"; cat table.txt; exit 1; }
head -1 table.txt | grep -q '^variant .*accuracy .*Pareto$'
! LC_ALL=C grep -q "[[:cntrl:]]" table.txt
# No script and nothing from elsewhere: the only addresses are those inside of the page.
! grep -Eiq '<script|src=|href=|url\(|@import|https?://' out.html
[ "$(grep -c '<svg' out.html)" -eq 5 ] || { echo "WRONG: not five pictures"; exit 1; }
for part in 'Accuracy against size' 'Accuracy against latency' 'Roofline' '<summary>fp32' \
    '<summary>int8-dynamic' 'one run'; do
  grep -q "$part" out.html || { echo "WRONG: no '$part' in the page"; exit 1; }
done
[ -n "${3-}" ] || { echo "skipped: no python3 to read the JSON"; exit 0; }
"$3" - out.json <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
assert list(report) == ["model", "cpu", "isa", "threads", "samples", "variants"], list(report)
assert report["samples"] == 300 and report["threads"] == 1 and report["model"] == "digits.onnx"
v = {x["name"]: x for x in report["variants"]}
assert list(v) == ["fp32", "fp16", "bf16", "int8-dynamic", "int8-weight-only", "int4-dynamic",
                   "int4-weight-only", "pruned50", "pruned50+int8", "int8-static"], list(v)
for x in v.values():
    assert list(x) == ["name", "size_bytes", "latency_ms", "accuracy", "sqnr_db", "peak_bytes", "pareto"]
    assert 0 < x["latency_ms"]["median"] <= x["latency_ms"]["p95"], x
    assert 0 <= x["accuracy"] <= 1 and x["peak_bytes"] > 0 and type(x["pareto"]) is bool, x
ratio = {n: x["size_bytes"] / v["fp32"]["size_bytes"] for n, x in v.items()}
assert ratio["fp16"] < 0.51 and ratio["bf16"] < 0.51, ratio
assert ratio["int8-dynamic"] <= 0.27 and ratio["int8-weight-only"] <= 0.27, ratio
assert ratio["int4-dynamic"] <= 0.17 and ratio["int4-weight-only"] <= 0.17, ratio
assert v["fp32"]["sqnr_db"] is None  # the reference: no error
db = {n: x["sqnr_db"] for n, x in v.items()}
assert db["fp16"] > db["bf16"] > db["int8-weight-only"] > db["int4-weight-only"] > 0, db
assert db["int8-weight-only"] > db["int8-dynamic"] - 1 and db["int8-dynamic"] > db["int4-dynamic"], db
assert any(x["pareto"] for x in v.values())
for n in ("fp16", "bf16"):
    assert v[n]["accuracy"] > v["fp32"]["accuracy"] - 0.004, n
for n in ("int8-dynamic", "int8-static"):
    assert v[n]["accuracy"] > v["fp32"]["accuracy"] - 0.01
assert db["int8-static"] > db["int4-weight-only"], db
END
