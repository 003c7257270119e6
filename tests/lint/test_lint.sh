#!/usr/bin/env bash
# The checkers themselves: each must object to what it is there for. A lint that
# finds nothing because it looks at nothing would pass for ever.
set -euo pipefail
lint=$(cd "$(dirname "$0")" && pwd)
compiler=${1:-cc}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/daemon/base" "$tree/daemon/core" "$tree/daemon/codec" "$tree/tests/lint"
cp "$lint"/*.sh "$tree/tests/lint"
mkdir -p "$tree/client" "$tree/extensions"
failed=0

expect() {
    local wanted=$1 what=$2 got=ok
    shift 2
    "$@" >"$tree/output" 2>&1 || got=refused
    if [ "$got" != "$wanted" ]; then
        echo "$what: expected $wanted, got $got" >&2
        cat "$tree/output" >&2
        failed=1
    fi
}

banned() {
    local wanted=$1 file=$2 text=$3
    printf '%s\n' "$text" >"$tree/$file"
    expect "$wanted" "banned, $file: $text" bash "$tree/tests/lint/banned.sh"
    rm "$tree/$file"
}

banned ok daemon/core/a.c 'int f(void) { return 1; }'
banned refused daemon/core/a.c 'void f(char *p) { free(p); }'
banned ok daemon/base/alloc.c 'void f(char *p) { free(p); }'
banned ok daemon/core/a.c 'void f(char *p) { dd_free(p); }'
banned ok daemon/core/a.c '/* never free(p) */ int x; // free(p)'
banned ok daemon/core/a.c 'const char *text = "call free(p)";'
banned refused daemon/core/a.c '/* a */ free(p); /* b */'
banned refused daemon/core/a.c 'const char *text = "/*"; void f(char *p) { free(p); }'
banned refused daemon/core/a.c 'void f(int x) { assert(x); }'
banned ok daemon/core/a.c 'void f(int x) { dd_assert(x); }'
banned refused client/a.c 'void f(char *b) { sprintf(b, "x"); }'
banned ok client/a.c 'void f(char *b) { snprintf(b, 2, "x"); }'
banned ok client/a.c 'void f(char *b) { free(b); }'
banned refused client/a.c 'int f(void) { return rand(); }'
banned ok client/a.c 'int f(struct ports *p) { return p->rand() + p.rand(); }'
banned refused daemon/core/a.c 'void f(char *b) { strcpy(b, "x"); }'
banned refused daemon/core/a.c 'int f(char *b) { return atoi(b); }'
banned refused client/a.py "# TO""DO: later"
banned refused daemon/core/a.c "/* FIX""ME */"

headers() {
    local wanted=$1 text=$2
    printf '%s\n' "$text" >"$tree/daemon/core/a.h"
    expect "$wanted" "headers: $text" bash "$tree/tests/lint/headers.sh" "$compiler"
    rm "$tree/daemon/core/a.h"
}

headers ok $'#pragma once\n#include <stdint.h>\nextern uint8_t a;'
headers refused $'#pragma once\nextern uint8_t a;'
headers refused $'extern int a;'

purity() {
    local wanted=$1 text=$2
    printf '%s\n' "$text" >"$tree/daemon/core/a.c"
    printf 'int dd_base(void);\nint dd_base(void) { return 1; }\n' >"$tree/daemon/base/b.c"
    "$compiler" -fPIC -I"$tree/daemon" -c "$tree/daemon/core/a.c" -o "$tree/a.o"
    "$compiler" -fPIC -c "$tree/daemon/base/b.c" -o "$tree/b.o"
    rm -f "$tree/core.a" "$tree/base.a"
    ar rc "$tree/core.a" "$tree/a.o"
    ar rc "$tree/base.a" "$tree/b.o"
    expect "$wanted" "purity: $text" \
        bash "$tree/tests/lint/purity.sh" "$tree/core.a" "$tree/base.a"
    rm "$tree/daemon/core/a.c"
}

purity ok $'int dd_base(void); int f(void);\nint f(void) { return dd_base(); }'
purity ok $'#include <string.h>\nunsigned long f(const char *s);\nunsigned long f(const char *s) { return strlen(s); }'
purity ok $'const char *const names[] = {"a", "b"};'
purity refused $'long time(long *); long f(void);\nlong f(void) { return time(0); }'
purity refused $'int dd_engine(void); int f(void);\nint f(void) { return dd_engine(); }'
purity refused $'#include <time.h>\nint x(void);'
purity refused $'static int calls; int f(void);\nint f(void) { return ++calls; }'
purity refused $'int count = 3;'
touch "$tree/daemon/codec/wire.h"
purity refused $'#include "codec/wire.h"\nint x(void);'

cp -r "$lint/../../proto" "$tree/proto"
protocol() {
    local wanted=$1 edit=$2
    sed -E "$edit" "$lint/../../proto/protocol.toml" >"$tree/proto/protocol.toml"
    python3 "$tree/proto/generate.py"
    expect "$wanted" "protocol: $edit" python3 "$tree/proto/generate.py" --check
}

protocol ok ''
protocol ok 's/params = \{ key = "str" \}/params = { key = "str", again = "bool?" }/'
protocol refused 's/params = \{ key = "str" \}/params = { key = "str", again = "bool" }/'
protocol refused 's/params = \{ key = "str" \}/params = { key = "int" }/'
protocol ok 's/params = \{ key = "str" \}/params = { key = "str?" }/'
protocol refused 's/result = \{ session = "int", arn = "str" \}/result = { session = "int", arn = "str?" }/'
protocol refused 's/^name = "session.join"/name = "session.enter"/'
protocol refused 's/^backoff = "Backoff"/wait_s = "int"/'
protocol refused 's/"HALF"/"MOST"/'
protocol ok 's/^value = 4096/value = 8192/'
protocol refused 's/^value = 4096/value = 1024/'
protocol refused 's/^name = "Store.Full"/name = "Store.Filled"/'
protocol ok ''
printf 'more' >>"$tree/proto/README.md"
expect refused 'protocol: a page that is edited' python3 "$tree/proto/generate.py" --check

exit $failed
