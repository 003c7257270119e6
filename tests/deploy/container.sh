#!/usr/bin/env bash
# container.sh: what the last stage of deploy/Containerfile has and sets, without a
# container engine: its files in an empty root, its environment and no other, its user, and
# clients that come over HTTP by its name and over the socket by its group.
#
# As root, for chroot --userspec.
set -euo pipefail
cd "$(dirname "$0")/../.."
file=deploy/Containerfile
case $(uname -m) in aarch64 | arm64) bin=build/static-arm64/bin ;; *) bin=build/static-x86_64/bin ;; esac
image=$(mktemp -d)
daemon=
cleanup() {
    [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
    rm -rf "$image"
}
trap cleanup EXIT
fail() {
    printf 'container.sh: %s\n' "$*" >&2
    cat "$image/log" >&2
    exit 1
}

mkdir -p "$image/etc" "$image/data" "$image/run/durabled"
cp -P "$bin/durabled" "$bin/durablectl" "$image/"
# The lines that its build stage writes.
sed -n "s/^ *echo '\(.*\)' >.*passwd.*/\1/p" "$file" >"$image/etc/passwd"
sed -n "s/^ *echo '\(.*\)' >.*group.*/\1/p" "$file" >"$image/etc/group"
user=$(sed -n 's/^USER //p' "$file")
chown "$user" "$image/data" "$image/run/durabled"
chmod 755 "$image"
mapfile -t environment < <(sed -n 's/^ENV //p' "$file")
[ -s "$image/etc/group" ] && [ ${#environment[@]} -ge 5 ] || fail "cannot read $file"

# For a subshell. A port that is free instead of its own, which another run may have.
inside() {
    local who=$1
    shift
    exec env -i "${environment[@]}" DURABLED_HTTP=0.0.0.0:0 \
        "$(command -v chroot)" --userspec="$who" "$image" "$@"
}
(inside "$user" /durabled serve >"$image/log" 2>&1) &
daemon=$!
for _ in $(seq 200); do
    ! (inside "$user" /durablectl doctor) >/dev/null 2>&1 || break
    sleep 0.05
done
(inside "$user" /durablectl doctor) || fail "doctor"
# A worker's container: another user, in the group.
(inside 1000:65532 /durablectl ls) || fail "no member of the group may connect"
! (inside 1000:1000 /durablectl ls) >/dev/null 2>&1 || fail "anyone may connect"
port=$(sed -n 's|.*"http":"http://[0-9.]*:\([0-9]*\)".*|\1|p' "$image/log" | head -n 1)
python3 - "$port" <<'PY' || fail "HTTP"
import http.client
import sys

for host, want in (("durabled:3001", 200), ("localhost:3001", 200), ("evil.example", 403)):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
    connection.request("GET", "/2015-03-31/functions/", headers={"Host": host})
    status = connection.getresponse().status
    print(f"Host: {host}: {status}")
    if status != want:
        sys.exit(1)
PY
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with $?"
daemon=
[ "$(stat -c %u:%g "$image/data/data.mdb")" = "$user" ] || fail "no store of $user"
