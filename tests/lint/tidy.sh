#!/usr/bin/env bash
# tidy.sh BUILD_DIR [--changed | DIRECTORY...]: clang-tidy over the files that BUILD_DIR
# compiles: all of them, those in directories that changed, or those below the
# directories given (relative to the root).
#
# "Changed" means against the branch that this one left, or the last commit when there
# is none to compare with; all of them where git cannot tell.
#
# BUILD_DIR should be configured with clang (preset lint): gcc's own options would be
# reported as unknown.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${1:?usage: tidy.sh BUILD_DIR [--changed | DIRECTORY...]}
shift

# Directories with C files that differ from where this branch left origin's default.
changed_directories() {
    local from
    from=$(git merge-base HEAD origin/HEAD 2>/dev/null || true)
    if [ -z "$from" ] || [ "$from" = "$(git rev-parse HEAD)" ]; then
        from=$(git rev-parse --verify --quiet HEAD~1) || return 1
    fi
    {
        git diff --name-only "$from" -- '*.c' '*.h'
        git ls-files --others --exclude-standard -- '*.c' '*.h'
    } | xargs -r -n 1 dirname | sort -u
}

if [ "${1:-}" = --changed ]; then
    if changed=$(changed_directories 2>/dev/null); then
        [ -n "$changed" ] || exit 0
        mapfile -t directories <<<"$changed"
        set -- "${directories[@]}"
    else
        set --
    fi
fi

# One file a process: this version's analyzer carries state of va_list from one to the next.
python3 - "$build" "$PWD" "$@" <<'PY' |
import json, os, sys
build, root, *wanted = sys.argv[1:]
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
    generated = path.startswith("..") or path.startswith("build/")
    if not generated and (not wanted or any(path.startswith(w.rstrip("/") + "/") for w in wanted)):
        print(path, end="\0")
PY
    xargs -0 -r -n 1 -P "$(nproc)" clang-tidy -p "$build" --quiet
