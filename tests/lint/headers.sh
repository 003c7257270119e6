#!/usr/bin/env bash
# headers.sh COMPILER INCLUDE_DIR...: every header compiles alone, so that including
# one never depends on what was included before it.
set -euo pipefail
cd "$(dirname "$0")/../.."

compiler=${1:?usage: headers.sh COMPILER INCLUDE_DIR...}
shift
flags=(-fsyntax-only -Wall -Wextra -Werror -Idaemon -I.)
for directory in "$@"; do
    flags+=("-isystem" "$directory")
done

# base, core and codec are plain C17; the others see what libuv's header needs.
check() {
    local header=$1 standard=gnu17
    shift
    case $header in daemon/base/* | daemon/core/* | daemon/codec/*) standard=c17 ;; esac
    if ! grep -q '^#pragma once$' "$header" && ! grep -q '^#ifndef ' "$header"; then
        echo "$header: neither #pragma once nor a guard"
        return 1
    fi
    printf '#include "%s"\n' "$PWD/$header" | "$@" "-std=$standard" -x c -
}

export -f check
find daemon client extensions tests -name '*.h' -not -path '*/build/*' -print0 |
    xargs -0 -r -P "$(nproc)" -I{} bash -c 'check "$@"' check {} "$compiler" "${flags[@]}"
