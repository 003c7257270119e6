#!/usr/bin/env bash
# run.sh [SEEDS]: applies each patch of this folder to a copy of the tree, builds the
# simulator, and expects it to find the defect within SEEDS seeds (10,000, as in CI).
# Prints a table; the last line is "N found, N missed".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
seeds=${1:-10000}
copy=$root/build/mutations
found=0
missed=0

rm -rf "$copy"
mkdir -p "$copy/tree"
(cd "$root" && git ls-files -z | xargs -0 tar -c --ignore-failed-read -f - 2>/dev/null) | tar -x -C "$copy/tree"
cmake -S "$copy/tree" -B "$copy/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >"$copy/cmake.log"
cmake --build "$copy/build" --target durabled_sim >"$copy/build.log"
sim=$copy/build/tests/sim/durabled_sim
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    patch -d "$copy/tree" -p1 --quiet <"$patch"
    cmake --build "$copy/build" --target durabled_sim >"$copy/build.log" || { cat "$copy/build.log"; exit 1; }
    if "$sim" --seeds "$seeds" --jobs "$(nproc)" >"$copy/$name.log" 2>&1; then
        printf '%-32s MISSED in %s seeds\n' "$name" "$seeds"
        missed=$((missed + 1))
    elif ! grep -qE 'ssertion|is broken' "$copy/$name.log"; then
        printf '%-32s MISSED, the simulator did not come to its end\n' "$name"
        missed=$((missed + 1))
    else
        printf '%-32s %s\n' "$name" "$(grep -m1 -E 'ssertion|^ *[0-9]+\.[0-9]{3}  ' "$copy/$name.log" | cut -c1-110)"
        found=$((found + 1))
    fi
    patch -d "$copy/tree" -p1 --quiet -R <"$patch"
done
echo "$found found, $missed missed"
[ "$missed" -eq 0 ]
