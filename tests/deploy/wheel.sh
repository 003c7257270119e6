#!/usr/bin/env bash
# wheel.sh: `pip install` of the wheel in a new virtual environment is a whole
# installation: the daemon, durablectl, the Python client, and hosting of functions that
# use AWS's own SDK. Nothing else is on PATH: no compiler, not even a shell.
set -euo pipefail
cd "$(dirname "$0")/../.."
run=$PWD/build/wheel/test
case $(uname -m) in aarch64 | arm64) machine=aarch64 ;; *) machine=x86_64 ;; esac

pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap cleanup EXIT
fail() {
    printf 'wheel.sh: %s\n' "$*" >&2
    tail -n 20 "$run"/*.log >&2
    exit 1
}
until_true() {
    local what=$1
    shift
    for _ in $(seq 400); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    fail "waited 20 seconds for $what"
}

rm -rf "$run"
mkdir -p "$run"
export HOME=$run XDG_RUNTIME_DIR=$run DURABLED_SOCKET=$run/d.sock AWS_REGION=eu-west-1
[ ${#DURABLED_SOCKET} -lt 108 ] || fail "the path of this checkout is too long for a socket"
/usr/bin/python3 -m venv "$run/venv"
"$run/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    build/dist/durabled-*"_$machine.whl"
# What a user of AWS's SDK has beside it.
"$run/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
    'awslambdaric>=3' 'aws-durable-execution-sdk-python>=3,<4'

cat >"$run/own.py" <<'PY'
from durabled import DurableContext, StepContext, durable_execution, durable_step
from durabled.config import Duration

@durable_step
def reserve(step: StepContext, order: str) -> str:
    return f"stock for {order}"

@durable_execution
def handler(event: dict, context: DurableContext) -> dict:
    reserved = context.step(reserve(event["order"]), name="reserve")
    context.wait(Duration.from_seconds(1), name="cooling_off")
    return {"reserved": reserved}
PY
sed 's/from durabled/from aws_durable_execution_sdk_python/' "$run/own.py" >"$run/app.py"

# As a user's shell would run it, but with nothing else to find. For a subshell.
in_venv() {
    cd "$run"
    PATH=$run/venv/bin exec "$@"
}
answers() { (in_venv durablectl functions) | grep -q '^order '; }
expect() {
    local want=$1 got
    shift
    got=$(in_venv "$@") || fail "$* failed"
    [[ $got == *"$want"* ]] || fail "$* printed '$got', not '$want'"
    printf '%s: %s\n' "$*" "$want"
}
order='{"order": "1001"}'
answer='{"reserved": "stock for 1001"}'

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' client/python/src/durabled/__about__.py)
expect "durabled $version" durabled --version
expect "durablectl $version" durablectl --version
expect "$version" python -c 'import durabled; print(durabled.__version__)'

(in_venv durabled serve --data "$run/serve" >"$run/serve.log" 2>&1) &
pids+=($!)
(in_venv python -m durabled worker own:handler --name order >"$run/worker.log" 2>&1) &
pids+=($!)
until_true "the worker" answers
expect "$answer" durablectl start order --payload "$order" --wait
kill -TERM "${pids[@]}"
wait
pids=()

(in_venv durabled dev --data "$run/dev" --http 127.0.0.1:0 \
    --function order -- python -m awslambdaric app.handler >"$run/dev.log" 2>&1) &
pids+=($!)
until_true "durabled dev" answers
expect "$answer" durablectl start order --payload "$order" --wait
kill -TERM "${pids[@]}"
wait
pids=()
