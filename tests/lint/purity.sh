#!/usr/bin/env bash
# purity.sh LIBDD_CORE.A LIBDD_BASE.A: rooms know what they may know, and no more.
#
# 1. Includes: what each room may include, as regular expressions.
# 2. Symbols: core calls base and a short list of C functions; nothing that reads a
#    clock, opens a file or draws a number.
# 3. State: core has no writable variable, so two engines in one process share nothing.
#
# Sanitizers add symbols of their own: run it on a build without them.
set -euo pipefail
cd "$(dirname "$0")/../.."

core=${1:?usage: purity.sh LIBDD_CORE.A LIBDD_BASE.A}
base=${2:?usage: purity.sh LIBDD_CORE.A LIBDD_BASE.A}
failed=0

complain() {
    echo "purity: $*" >&2
    failed=1
}

# C's own headers, but for <time.h>, <signal.h>, <threads.h>, <locale.h>, <assert.h>.
c='(ctype|errno|float|inttypes|limits|math|stdarg|stdbool|stddef|stdint|stdio|stdlib|string)\.h'
# Headers of the ports that adapters implement; the rest of engine is not theirs.
ports='engine/(hosting|ports|store)\.h'

# What reads files and runs an interpreter on POSIX.
posix='(dirent|fcntl|poll|signal|spawn|time|unistd|sys/stat|sys/wait)\.h'

# room | headers in quotes | headers in angle brackets
rooms="
base   | base/|proto/                    | $c|openssl/(crypto|evp|params)\.h|xxhash\.h
core   | base/|core/|proto/              | (inttypes|limits|math|stdbool|stddef|stdint|stdio|stdlib|string)\.h
codec  | base/|core/|codec/|proto/       | $c|msgpack\.h|jansson\.h
engine | base/|core/|codec/|engine/|proto/ | $c
sam    | base/|sam/|engine/hosting\.h    | $c|$posix|yaml\.h
io     | base/|io/|$ports                | .*
app    | base/|core/|codec/|engine/|io/|sam/|app/|proto/|client/cli/|extensions/ | .*
"

check_includes() {
    local room=$1 ours=$2 theirs=$3 found
    found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include' "daemon/$room" --include='*.[ch]' |
        grep -vE "include[[:space:]]*\"($ours)" |
        grep -vE "include[[:space:]]*<($theirs)>" || true)
    [ -z "$found" ] || complain "$room may not include:"$'\n'"$found"
}

# Standard C without a clock, a file, an environment or a hidden state; snprintf
# writes to memory only. The last line is what the compilers put in by themselves.
allowed="
memchr memcmp memcpy memmove memset strchr strcmp strlen strncmp strrchr strstr strnlen
qsort bsearch snprintf vsnprintf strtod strtol strtoll strtoul strtoull
ceil floor fmod isfinite llround log lround nearbyint pow round trunc
__stack_chk_fail __memcpy_chk __memmove_chk __memset_chk __snprintf_chk __vsnprintf_chk
_GLOBAL_OFFSET_TABLE_
"

names() {
    nm -P "$@" | awk 'NF > 1 {print $1}' | sort -u
}

check_symbols() {
    local foreign
    foreign=$(comm -23 <(names -u "$core") \
        <({ names --defined-only "$core" "$base"; tr -s ' \n' '\n' <<<"$allowed"; } | sort -u))
    [ -z "$foreign" ] || complain "core may not call: "$foreign
}

check_state() {
    local writable
    writable=$(nm -f sysv --defined-only "$core" | awk -F'|' '
        $4 ~ /OBJECT/ && $7 ~ /^[ \t]*\.(t?data|t?bss)(\.[^r]|$|[ \t])/ {
            gsub(/ /, "", $1); print $1 }')
    [ -z "$writable" ] || complain "core may not keep variables: "$writable
}

while IFS='|' read -r room rest; do
    # The expressions contain bars themselves: the separator has blanks around it.
    room=${room// /}
    [ -n "$room" ] || continue
    ours=${rest%% | *}
    theirs=${rest#* | }
    if [ -d "daemon/$room" ]; then
        check_includes "$room" "$(tr -d ' ' <<<"$ours")" "$(tr -d ' ' <<<"$theirs")"
    fi
done <<<"$rooms"
# Nobody includes app; io is included by app alone. That follows from the table.
[ -s "$core" ] && [ -s "$base" ] || complain "no such library: $core or $base"
check_symbols
check_state
exit $failed
