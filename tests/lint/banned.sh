#!/usr/bin/env bash
# banned.sh [ROOT]: calls and words that do not get in, with what to use instead.
# Add a line when a review finds the same thing twice.
set -euo pipefail
cd "${1:-"$(dirname "$0")/../.."}"

failed=0

# Where to look (find's arguments) | a regular expression | what to do instead.
# Comments and strings are not searched; a
# member of that name (->random) is not the function.
rules='
daemon ! -path daemon/base/alloc.c | \b(malloc|calloc|realloc|aligned_alloc|free|strdup|strndup|asprintf|vasprintf)\( | base/alloc.h: dd_alloc, dd_try_alloc, dd_free; base/text.h for strings
daemon client extensions | \b(assert)\( | dd_assert of base/check.h, which stays on in release builds; an error for what a peer controls
daemon | <assert\.h> | base/check.h
daemon client extensions tests | \b(sprintf|vsprintf)\( | snprintf, or dd_buf_printf
daemon client extensions | \b(strcpy|strcat|stpcpy|strncpy|strncat)\( | snprintf, memcpy with a checked length, or a dd_buf
daemon client extensions | \b(atoi|atol|atoll|atof)\( | strtoll and its end pointer, which tell an error from 0
daemon client extensions tests | \b(gets|tmpnam|mktemp|tempnam)\( | nothing: there is no safe use
daemon client extensions | \b(strtok|asctime|ctime|gmtime|localtime)\( | the form ending in _r, or a span
daemon client extensions tests | \b(rand|srand|random|srandom|drand48)\( | dd_rng when it must repeat, getrandom when it must not be guessed
daemon | \b(alloca|setjmp|longjmp)\( | a bounded array or dd_alloc; early returns
daemon | \b(uv_default_loop)\( | the loop that app made
daemon client | \b(system|popen)\( | posix_spawn or uv_spawn, without a shell
'

# The file without comments, line for line.
code() {
    awk '{
        line = $0; out = ""
        while (line != "") {
            if (inside) {
                end = index(line, "*/")
                if (!end) break
                line = substr(line, end + 2); inside = 0
            } else if (match(line, /"([^"\\]|\\.)*"|\/\/|\/\*/)) {
                token = substr(line, RSTART, RLENGTH)
                out = out substr(line, 1, RSTART - 1)
                line = substr(line, RSTART + RLENGTH)
                if (token == "//") break
                if (token == "/*") inside = 1
                else out = out "\"\""
            } else {
                out = out line
                break
            }
        }
        print out
    }' "$1"
}

existing() {
    for directory in "$@"; do
        [ ! -d "$directory" ] || echo "$directory"
    done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{daemon,client,extensions,tests}
# shellcheck disable=SC2046
find $(existing daemon client extensions tests) -name '*.[ch]' -not -path '*/build/*' |
    while read -r file; do
        mkdir -p "$work/$(dirname "$file")"
        code "$file" >"$work/$file"
    done

while IFS= read -r rule; do
    [ -n "$rule" ] || continue
    where=${rule%% | *}
    rule=${rule#* | }
    pattern=${rule%% | *}
    instead=${rule#* | }
    roots=${where%%!*}
    filter=${where#"$roots"}
    # shellcheck disable=SC2086,SC2046
    found=$(cd "$work" && find $(existing $roots) -name '*.[ch]' $filter -print0 |
        xargs -0 -r grep -nE "${pattern//\\b(/(^|[^[:alnum:]_.>])(}" /dev/null || true)
    if [ -n "$found" ]; then
        printf '%s\n  use instead: %s\n' "$found" "$instead" >&2
        failed=1
    fi
done <<<"$rules"

# Unfinished business belongs to the issue tracker, in every kind of file. The words
# are put together here so that this file does not find itself.
words="TO""DO|FIX""ME|XX""X"
# shellcheck disable=SC2046
found=$(grep -rnwE "$words" $(existing daemon client extensions proto tests deploy .ci) \
    --include='*.[ch]' --include='*.py' --include='*.sh' --include='*.cmake' \
    --include='CMakeLists.txt' --include='*.toml' --include='*.md' || true)
if [ -n "$found" ]; then
    printf '%s\n  use instead: an issue, or do it now\n' "$found" >&2
    failed=1
fi
exit $failed
