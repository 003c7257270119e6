#!/usr/bin/env bash
# static.sh x86_64|arm64: the static binary is static, small and free of the paths of the
# machine that built it, and the daemon serves in an empty root directory.
#
# That of another architecture runs in qemu-user.
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=$1
[ "$(id -u)" -eq 0 ] || exec unshare --map-root-user bash "$0" "$@"
bin=$PWD/build/static-$arch/bin
fail() {
    printf 'static.sh %s: %s\n' "$arch" "$*" >&2
    exit 1
}

case $arch in x86_64) machine=X86-64 ;; arm64) machine=AArch64 ;; *) fail "unknown" ;; esac
file=$bin/durabled
readelf -hW "$file" | grep -q "Machine:.*$machine" || fail "it is not for $arch"
[[ $(readelf -lW "$file") != *INTERP* ]] || fail "it wants a loader"
[[ $(readelf -dW "$file") != *NEEDED* ]] || fail "it wants a library"
[[ $(readelf -SW "$file") != *.symtab* ]] || fail "it has its symbols"
for path in "$PWD" "$HOME/."; do
    ! grep -qaF -- "$path" "$file" || fail "it holds $path"
done
size=$(stat -c %s "$file")
# Larger by a tenth, and something came in that nobody meant to link.
[ "$size" -le 4500000 ] || fail "it has $size bytes"

case $(uname -m) in aarch64 | arm64) own=arm64 ;; *) own=x86_64 ;; esac
empty=$(mktemp -d)
daemon=
cleanup() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
    rm -rf "$empty"
}
trap cleanup EXIT
mkdir "$empty/data"
cp -P "$bin/durabled" "$bin/durablectl" "$empty/"
run=()
if [ "$arch" != "$own" ]; then
    cp "$(command -v "qemu-$([ "$arch" = arm64 ] && echo aarch64 || echo x86_64)-static")" "$empty/qemu"
    run=(/qemu)
fi
ctl() { chroot "$empty" "${run[@]}" /durablectl --socket /d.sock "$@"; }

chroot "$empty" "${run[@]}" /durabled serve --data /data --socket /d.sock \
    --http 127.0.0.1:0 --log-format json >"$empty/log" 2>&1 &
daemon=$!
for _ in $(seq 200); do
    ! ctl ls >/dev/null 2>&1 || break
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.05
done
ctl doctor >"$empty/doctor" || { cat "$empty/doctor" "$empty/log" >&2 && fail "doctor"; }
port=$(sed -n 's|.*"http":"http://127.0.0.1:\([0-9]*\)".*|\1|p' "$empty/log" | head -n 1)
[ -n "$port" ] || { cat "$empty/log" >&2 && fail "no HTTP address"; }
python3 - "$port" <<'PY' || fail "the HTTP API"
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
connection.request("GET", "/2015-03-31/functions/")
sys.exit(connection.getresponse().status != 200)
PY
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
daemon=
chroot "$empty" "${run[@]}" /durabled check --data /data >"$empty/check" 2>&1 ||
    { cat "$empty/check" >&2 && fail "check"; }
ls -l "$bin" | tail -n +2
echo "static $arch: static, serves in an empty root"
