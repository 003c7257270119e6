#!/usr/bin/env bash
# The main job in one command: builds durabled on a fresh Debian 12 machine, runs
# an order workflow on it, kills the worker and then the daemon with SIGKILL, and
# shows the execution complete.
#
# Everything it makes is below build/; its processes end with it.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
run=$root/build/quickstart
bin=$root/build/release/bin
sample=$root/client/python/samples/order
packages=(gcc cmake ninja-build pkg-config libuv1-dev liblmdb-dev libmsgpack-dev
    libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev libyaml-dev libssl-dev libxxhash-dev python3 python3-venv)

say() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
note() { printf '   %s\n' "$*"; }
fail() {
    printf 'quickstart: %s\n' "$*" >&2
    for log in "$run"/*.log; do
        [ -s "$log" ] && printf -- '--- %s\n%s\n' "${log##*/}" "$(tail -n 20 "$log")" >&2
    done
    exit 1
}

pids=()
# Ends what this script started, whatever way it ends.
cleanup() {
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    wait 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Runs "$@" until it succeeds; 20 seconds at most.
until_true() {
    local what=$1
    shift
    for _ in $(seq 400); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    fail "waited 20 seconds for $what"
}

install_packages() {
    local missing=() as_root=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        note "packages: all there"
        return
    fi
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    note "packages to install: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$run/apt.log" 2>&1 ||
        fail "apt-get install failed"
}

build() {
    cmake --preset release >"$run/cmake.log" 2>&1 || fail "cmake failed"
    cmake --build --preset release >"$run/build.log" 2>&1 || fail "the build failed"
    note "built $(du -h "$bin/durabled" | cut -f1) $bin/durabled"
    if ! [ -x "$run/venv/bin/python" ]; then
        /usr/bin/python3 -m venv "$run/venv" || fail "no virtual environment"
    fi
    "$run/venv/bin/pip" install --quiet --disable-pip-version-check "$root/client/python" \
        >"$run/pip.log" 2>&1 || fail "pip install ./client/python failed"
    note "installed the Python client in a virtual environment"
}

start_daemon() {
    "$bin/durabled" serve --data "$run/data" >>"$run/daemon.log" 2>&1 &
    daemon=$!
    pids+=("$daemon")
    until_true "the daemon" "$bin/durablectl" ls
    note "daemon: pid $daemon"
}

start_worker() {
    (cd "$sample" && exec "$run/venv/bin/python" -m durabled worker app:handler --name order \
        --concurrency 8) >>"$run/worker.log" 2>&1 &
    worker=$!
    pids+=("$worker")
    note "worker: pid $worker"
}

# The sample's inventory service writes one line for each request it has taken.
start_inventory() {
    (cd "$sample" && exec "$run/venv/bin/python" inventory.py --port-file "$run/port") \
        >"$run/inventory.log" 2>&1 &
    pids+=("$!")
    until_true "the inventory service" test -s "$run/port"
    export INVENTORY_URL
    INVENTORY_URL=http://127.0.0.1:$(cat "$run/port")
    note "inventory service: $INVENTORY_URL, takes two seconds to answer"
}

function_known() { "$bin/durablectl" functions | grep -q '^order '; }
requests() { grep -c '^request ' "$run/inventory.log" || true; }
requests_reach() { [ "$(requests)" -ge "$1" ]; }
operation_started() {
    "$bin/durablectl" --json show "$1" |
        python3 -c 'import json,sys
operations = json.load(sys.stdin)["operations"]
sys.exit(not any(o.get("Name") == sys.argv[1] and o["Status"] == "STARTED" for o in operations))' "$2"
}

kill_hard() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

mkdir -p "$run"
rm -rf "$run/data" "$run"/*.log "$run/port"
export XDG_RUNTIME_DIR=$run DURABLED_SOCKET=$run/durabled.sock
[ ${#DURABLED_SOCKET} -lt 108 ] || fail "the path of this checkout is too long for a socket"

say "1. Build"
install_packages
build

say "2. Start the daemon, the sample's inventory service, and a worker"
start_daemon
start_inventory
start_worker
until_true "the worker" function_known

say "3. Start an order"
"$bin/durablectl" start order --name order-1001 --payload '{"order": "1001"}'

say "4. Kill the worker while its request to the inventory service is open"
until_true "the request" requests_reach 1
until_true "the step in the store" operation_started order-1001 reserve_stock
kill_hard "$worker"
note "kill -9 $worker; the step reserve_stock was running"
start_worker

say "5. Kill the daemon while the order waits"
until_true "the wait cooling_off" operation_started order-1001 cooling_off
kill_hard "$daemon"
note "kill -9 $daemon; the wait cooling_off was running"
start_daemon

say "6. The order completes"
"$bin/durablectl" start order --name order-1001 --payload '{"order": "1001"}' --wait
say "7. What happened"
"$bin/durablectl" history order-1001 | tee "$run/history"
grep -q 'ran again after an interruption' "$run/history" ||
    fail "the history does not show that reserve_stock ran a second time"
printf '\n'
"$bin/durablectl" show order-1001
[ "$(requests)" -eq 2 ] ||
    fail "the inventory service took $(requests) requests; 2 were expected: one interrupted, one completed"
note "the inventory service took 2 requests: the interrupted one and its repetition"

say "Try next"
relative=${run#"$root"/}
cat <<TEXT
   DURABLED_SOCKET=$relative/durabled.sock build/release/bin/durabled serve --data $relative/data &
   DURABLED_SOCKET=$relative/durabled.sock build/release/bin/durablectl show order-1001
   DURABLED_SOCKET=$relative/durabled.sock build/release/bin/durablectl doctor
TEXT
