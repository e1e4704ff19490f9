#!/usr/bin/env python3
"""Compares what qtk says of versions of operators with the schemas of the package onnx.

usage: operator_sets.py SOURCE_DIR

means_the_same_since_set_1 (graph/registry.hpp) must hold just those operators whose schemas say the
same in all sets up to 7, never_changed (io/onnx_opset.hpp) only such as newer sets merely add to, up
to newest_opset. A schema says the same where inputs, outputs and attributes have the same names, kinds
and defaults; types may be added. Exits 77 where onnx is not installed.
"""
import collections
import os
import re
import sys

try:
    import onnx.defs
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

# What schemas don't tell or tell by the wrong means; the text of docs/Changelog.md decides.
SAME_ALL_THE_SAME = {
    "AveragePool": "set 7 names count_include_pad, its default is what was before",
    "Clip": "set 6 spells out that no bound is the largest float",
    "Concat": "set 4 asks for the axis, whose default was 1",
}
CHANGED_ALL_THE_SAME = {
    "PRelu": "until set 6 a slope of one dimension is along the channels",
    "If": "the nodes of its bodies are of the same set",
    "Loop": "the nodes of its bodies are of the same set",
}
NOT_RUN = {"MaxRoiPool", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def table(path, function):
    """The names in the table of that function."""
    with open(path) as file:
        body = file.read().split(f"bool {function}(", 1)[1].split("};", 1)[0]
    return set(re.findall(r'"(\w+)"', body))


def parts(schema):
    def attribute(a):
        return a.required, a.type, str(a.default_value)

    return ({i.name: (needed(i), is_list(i)) for i in schema.inputs},
            {o.name: (needed(o), is_list(o)) for o in schema.outputs},
            {k: attribute(a) for k, a in schema.attributes.items() if k != "consumed_inputs"})


def needed(value):
    return value.option != onnx.defs.OpSchema.FormalParameterOption.Optional


def is_list(value):
    return value.option == onnx.defs.OpSchema.FormalParameterOption.Variadic


def takes(now, before):
    """Whether what a schema said before is still said: what was needed may be so no more."""
    return now is not None and now[1:] == before[1:] and (before[0] or not now[0])


def main():
    include = os.path.join(sys.argv[1], "include", "qtk")
    reader = os.path.join(include, "io", "onnx_opset.hpp")
    with open(reader) as file:
        newest = int(re.search(r"newest_opset = (\d+);", file.read()).group(1))
    history = collections.defaultdict(list)
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: s.since_version):
        if schema.domain == "":
            history[schema.name].append(schema)

    wrong = []
    listed = table(os.path.join(include, "graph", "registry.hpp"), "means_the_same_since_set_1")
    for op, schemas in history.items():
        old = [s for s in schemas if s.since_version <= 7]
        if not old or old[0].since_version > 1 or op in NOT_RUN:
            continue
        same = all(parts(s) == parts(old[0]) for s in old) or op in SAME_ALL_THE_SAME
        same = same and op not in CHANGED_ALL_THE_SAME
        if same != (op in listed):
            wrong.append(f"{op}: {'is not' if same else 'is'} listed as the same since set 1, sets "
                         f"{[s.since_version for s in old]}")
    for op in listed - history.keys():
        wrong.append(f"{op}: no such operator")

    for op in sorted(table(reader, "never_changed")):
        known = [s for s in history[op] if s.since_version <= newest]
        first = [s for s in known if s.since_version <= 7][-1:] or known[:1]
        for schema in known[known.index(first[0]):]:
            for before, now in zip(parts(first[0]), parts(schema)):
                for name, value in before.items():
                    if not takes(now.get(name), value):
                        wrong.append(f"{op}: '{name}' is {value} in set {first[0].since_version}, "
                                     f"{now.get(name)} in set {schema.since_version}")
    print("\n".join(wrong + [f"{len(listed)} operators since set 1, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
