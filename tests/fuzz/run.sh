#!/usr/bin/env bash
# run.sh TARGET [LIBFUZZER OPTION...]: fuzzes TARGET of the preset `fuzz`, beginning with its
# committed corpus. New inputs go to build/fuzz/tests/fuzz/found-TARGET, which is emptied
# first; one that breaks the target is written beside it, as TARGET-crash-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1
shift
build=${DURABLED_FUZZ_BUILD:-build/fuzz/tests/fuzz}
found=$build/found-$target
rm -rf "$found"
mkdir -p "$found"
exec "$build/fuzz_$target" -artifact_prefix="$build/$target-" -timeout=20 -max_len=4096 \
    -print_final_stats=1 "$@" "$found" "tests/fuzz/corpus/$target"
