#!/usr/bin/env bash
# tidy.sh BUILD_DIR [DIRECTORY...]: clang-tidy over the files that BUILD_DIR compiles,
# all of them or those below the directories given (relative to the root).
# BUILD_DIR should be configured with clang (preset lint): gcc's own options would
# be reported as unknown.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:?usage: tidy.sh BUILD_DIR [DIRECTORY...]}
shift

python3 - "$build" "$PWD" "$@" <<'PY' |
import json, os, sys
build, root, *wanted = sys.argv[1:]
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
    generated = path.startswith("..") or path.startswith("build/")
    if not generated and (not wanted or any(path.startswith(w.rstrip("/") + "/") for w in wanted)):
        print(path, end="\0")
PY
    xargs -0 -r -n 4 -P "$(nproc)" clang-tidy -p "$build" --quiet
