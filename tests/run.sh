#!/usr/bin/env bash
# run.sh [HEIGHT...]: installs what the tests need, builds, and runs every height or
# those named. The last line is "N passed, N failed"; the exit status is 0 when none
# failed. Behind `conformance` some of its judges may be named.
#
# For Debian 12, as root or with sudo. Everything it makes is below build/.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line a height: name | what it needs beyond the base packages | how it runs.
# A height stands here when its tests exist; nothing is skipped. README.md says which
# to use when.
heights='
unit      |                                   | ctest_height dev "^unit$"
trace     |                                   | ctest_height dev "^trace$"
adapter   |                                   | ctest_height dev "^adapter$"
lint      | clang clang-format clang-tidy     | ctest_height lint "^lint$"
clang     | clang                             | build_height lint
pylint    | python3-venv                      | python_lint_height
python    | python3-venv                      | pytest_height release client/python/tests
system    | python3-venv openssl              | pytest_height dev tests/system
lambda    | python3-venv                      | lambda_height
tsan      | python3-venv openssl              | tsan_height
fuzz      | clang libclang-rt-dev             | fuzz_height
sim       |                                   | sim_height
mutations | patch                             | mutations_height
conformance | python3-venv                    | conformance_height
quickstart | python3-venv                     | checked quickstart bash deploy/quickstart.sh
deploy    | python3-venv                      | deploy_height
wheel     | python3-venv                      | wheel_height
arm64     | python3-venv qemu-user-static     | arm64_height
layer     | python3-venv qemu-user-static openssl | layer_height
'

# What every height builds with. -dev packages are the libraries named, with their
# reasons, in CMakeLists.txt.
base_packages='gcc libc6-dev binutils cmake ninja-build pkg-config python3
libuv1-dev liblmdb-dev libmsgpack-dev libjansson-dev libmicrohttpd-dev libcurl4-openssl-dev libyaml-dev libssl-dev libxxhash-dev
libcmocka-dev'

build=$PWD/build
passed=0
failed=0

say() {
    printf '\n== %s\n' "$*"
}

# count NAME PASSED FAILED
count() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    printf -- '-- %s: %d passed, %d failed\n' "$1" "$2" "$3"
}

install_packages() {
    local missing=() as_root=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    say "installing with apt-get: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Configures and builds a preset, once a run. False when something does not build; what
# does is there all the same.
declare -A built=()
build_preset() {
    local preset=$1
    if [ -z "${built[$preset]:-}" ]; then
        built[$preset]=ok
        say "build ($preset)"
        { cmake --preset "$preset" >"$build/$preset.log" || { cat "$build/$preset.log"; false; }; } &&
            cmake --build --preset "$preset" -- -k 0 ${DD_JOBS:+-j "$DD_JOBS"} --quiet ||
            built[$preset]=failed
    fi
    [ "${built[$preset]}" = ok ]
}

# build_height PRESET: it builds, warnings being errors.
build_height() {
    checked "build ($1)" build_preset "$1"
}

# The totals of a JUnit file of ctest or pytest: "passed failed". What did not run has
# failed, but for pytest's skips, which it prints with their reasons.
junit_totals() {
    python3 - "$1" <<'PY'
import sys
import xml.etree.ElementTree as ET
passed = failed = 0
try:
    for case in ET.parse(sys.argv[1]).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None:
            passed += 1
        elif case.get("status"):
            failed += 1
except (OSError, ET.ParseError):
    pass
print(passed, failed)
PY
}

# What stands before the command of a test run, for heights that need something.
under=()

# run_counted NAME JUNIT COMMAND...: COMMAND writes JUNIT. A run that fails without a
# failed test, or has no test at all, counts as one failure.
run_counted() {
    local name=$1 junit=$2 good bad rc=0
    shift 2
    rm -f "$junit"
    "${under[@]}" "$@" || rc=$?
    read -r good bad <<<"$(junit_totals "$junit")"
    if [ "$bad" -eq 0 ] && { [ "$rc" -ne 0 ] || [ "$good" -eq 0 ]; }; then
        bad=1
    fi
    count "$name" "$good" "$bad"
}

# ctest_height PRESET LABEL: the tests of PRESET whose label matches LABEL.
ctest_height() {
    local preset=$1 label=$2
    build_preset "$preset" || count "build ($preset)" 0 1
    say "ctest ($preset, $label)"
    run_counted "ctest ($preset, $label)" "$build/$preset.junit.xml" \
        ctest --test-dir "$build/$preset" -L "$label" -j "${DD_JOBS:-$(nproc)}" \
        --output-on-failure --no-tests=error --output-junit "$build/$preset.junit.xml"
}

# The virtual environment of the Python tests, with the client in it as a user installs it.
build_venv() {
    local venv=$build/venv
    [ -z "${built[venv]:-}" ] || return 0
    built[venv]=ok
    if [ ! -x "$venv/bin/pytest" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
    fi
    # lmdb: a test edits a store behind the daemon's back. boto3, the AWS CLI and the
    # official SDK: clients of the HTTP API that we did not write; older ones know no
    # durable executions. awslambdaric: Lambda's runtime client, which hosts them.
    "$venv/bin/pip" install --quiet --disable-pip-version-check './client/python[dev]' \
        'lmdb<2' 'boto3>=1.43' 'awscli>=1.45' 'aws-durable-execution-sdk-python>=3,<4' \
        'awslambdaric>=4'
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall \
        ./client/python
}

# pytest_height PRESET DIRECTORY: Python tests against the programs of PRESET.
pytest_height() {
    build_preset "$1" || count "build ($1)" 0 1
    build_venv
    run_pytest "$1" "$2"
}

# A directory `lambda` below the one that is named is a height of its own.
run_pytest() {
    local preset=$1 directory=$2
    say "pytest ($preset, $directory)"
    run_counted "pytest ($preset, $directory)" "$build/pytest.junit.xml" \
        env DURABLED_BIN="$build/$preset/bin" PYTHONDONTWRITEBYTECODE=1 \
        "$build/venv/bin/pytest" -q -rs -p no:cacheprovider \
        --junit-xml="$build/pytest.junit.xml" "$directory" --ignore="$directory/lambda"
}

# lambda_height: the extension in AWS's emulator, which comes in the wheel of another tool,
# and under a freezer.
lambda_height() {
    local wheel=$build/emulator
    build_venv
    "$build/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps \
        --require-hashes --dest "$wheel" -r tests/system/lambda/emulator.txt &&
        python3 -m zipfile -e "$wheel"/aws_sam_cli-*.whl "$wheel" &&
        chmod +x "$wheel"/samcli/local/rapid/* || count "emulator" 0 1
    pytest_height dev tests/system/lambda
}

# python_lint_height: the Python client and the Python tests, as ruff and mypy want them.
python_lint_height() {
    local bin=$build/venv/bin good=0 bad=0 check
    build_venv
    say "ruff, mypy"
    for check in "ruff check client/python tests/system tests/deploy tests/conformance tests/fuzz tests/bench" \
        "ruff format --check client/python tests/system tests/deploy tests/conformance tests/fuzz tests/bench" \
        "mypy --config-file client/python/pyproject.toml client/python/src/durabled"; do
        # shellcheck disable=SC2086
        if "$bin"/$check; then good=$((good + 1)); else bad=$((bad + 1)); fi
    done
    count "ruff, mypy" "$good" "$bad"
}

# checked NAME COMMAND...: one test, which passes when COMMAND does.
checked() {
    local name=$1
    shift
    if "$@"; then count "$name" 1 0; else count "$name" 0 1; fi
}

# sim_height: few seeds with sanitizers, many without, and outages of every worker.
sim_height() {
    local sim=$build/release/tests/sim/durabled_sim jobs=${DD_JOBS:-$(nproc)}
    ctest_height dev "^sim$"
    build_preset release || count "build (release)" 0 1
    say "simulator: ${DURABLED_SIM_SEEDS:=10000} seeds"
    checked "simulator" "$sim" --seeds "$DURABLED_SIM_SEEDS" --jobs "$jobs" --coverage
    checked "simulator, outages" "$sim" --outage --seeds 200 --jobs "$jobs"
}

# fuzz_height: the corpus with gcc, and with clang as the beginning of a short run.
fuzz_height() {
    ctest_height dev "^fuzz$"
    ctest_height fuzz "^fuzz$"
}

# tsan_height: what has threads, and the system tests, under ThreadSanitizer, which ends a
# program at its first report. Its shadow memory does not go with the addresses that some
# kernels choose, so the programs get fixed ones.
tsan_height() {
    local under=(setarch -R env TSAN_OPTIONS=halt_on_error=1 DURABLED_TORTURE_S=8)
    setarch -R true 2>/dev/null || under=("${under[@]:2}") # a container may forbid it
    ctest_height tsan "^(unit|trace|adapter)$"
    pytest_height tsan tests/system
    say "simulator (tsan)"
    checked "simulator (tsan)" "${under[@]}" "$build/tsan/tests/sim/durabled_sim" --seeds 20 \
        --jobs "${DD_JOBS:-$(nproc)}"
}

# mutations_height: each defect that is kept as a patch is found by the simulator.
mutations_height() {
    say "mutations"
    checked "mutations" bash tests/sim/mutations/run.sh
}

# conformance_height: the judges named, or all.
conformance_height() {
    local judge
    [ ${#judges[@]} -gt 0 ] || judges=("${all_judges[@]}")
    build_preset release || count "build (release)" 0 1
    build_venv
    "$build/venv/bin/pip" install --quiet --disable-pip-version-check \
        --ignore-requires-python -r tests/conformance/requirements.txt
    for judge in "${judges[@]}"; do
        say "conformance ($judge)"
        case $judge in
        python)
            conformance_suite "$judge"
            run_pytest release tests/conformance/python
            ;;
        official-javascript)
            if build_javascript; then
                conformance_suite "$judge"
            else
                count "conformance ($judge)" 0 1
            fi
            ;;
        cloud-runner) run_pytest release tests/conformance/cloud_runner ;;
        *) conformance_suite "$judge" ;;
        esac
    done
}

# Node.js as npm has it, and what tests/conformance/javascript needs below it. The runtime of
# Lambda's functions compiles a part of itself, with the headers that come with Node.js.
build_javascript() {
    local node=$build/node packages=$build/javascript
    local wanted=tests/conformance/javascript/package.json headers
    command -v npm >/dev/null || install_packages npm
    install_packages g++ make xz-utils
    if [ ! -x "$node/node_modules/node/bin/node" ]; then
        say "installing Node.js and the official SDK for JavaScript with npm"
        mkdir -p "$node"
        echo '{ "private": true }' >"$node/package.json"
        npm install --prefix "$node" --no-audit --no-fund --loglevel=error node@22 || return
    fi
    cmp -s "$wanted" "$packages/installed.json" && return
    rm -rf "$packages"
    mkdir -p "$packages"
    cp "$wanted" "$packages"
    headers=$(echo "$node"/node_modules/node/node_modules/*/include)
    PATH=$node/node_modules/node/bin:$PATH npm_config_nodedir=${headers%/include} \
        npm install --prefix "$packages" --no-audit --no-fund --loglevel=error || return
    cp "$wanted" "$packages/installed.json"
}

# conformance_suite JUDGE: the official suite.
conformance_suite() {
    local line good bad
    env DURABLED_BIN="$build/release/bin" PYTHONDONTWRITEBYTECODE=1 \
        "$build/venv/bin/python" tests/conformance/host.py "$1" \
        "$build/conformance/$1" >"$build/conformance.txt" || true
    cat "$build/conformance.txt"
    # A run that ends without its counts is one failure.
    for line in released newer; do
        read -r good bad <<<"$(sed -n "s/^$line: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p" \
            "$build/conformance.txt")"
        count "conformance ($1, $line)" "${good:-0}" "${bad:-1}"
    done
}

# deploy_height: what deploy/lambda puts into AWS: built, looked at by SAM's linter, and its
# functions run as they are deployed.
deploy_height() {
    local arch=x86_64
    [ "$(uname -m)" != aarch64 ] || arch=arm64
    build_venv
    say "deploy"
    checked "deploy, built" bash deploy/lambda/build.sh "$arch"
    checked "deploy, templates" bash tests/deploy/templates.sh
    run_pytest "static-$arch" tests/system/test_lambda_samples.py
}

# wheel_height: the static binaries of this machine, alone and as they are given out. The
# first build makes their compiler and libraries too, which then stay in build/static.
wheel_height() {
    local arch=x86_64
    [ "$(uname -m)" != aarch64 ] || arch=arm64
    say "wheel"
    checked "wheel, built" bash deploy/wheel/build.sh
    checked "static binaries" bash tests/deploy/static.sh "$arch"
    checked "container file" bash tests/deploy/container.sh
    checked "wheel, installed" bash tests/deploy/wheel.sh
}

# arm64_height: the static binaries for arm64, cross-compiled, in qemu's user mode.
arm64_height() {
    say "arm64"
    checked "static binaries (arm64), built" cmake --workflow --preset static-arm64
    checked "static binaries (arm64)" bash tests/deploy/static.sh arm64
}

# layer_height: the zip of each architecture, with the libraries that `wheel` and `arm64` made.
layer_height() {
    local arch under
    build_venv
    for arch in x86_64 arm64; do
        say "layer ($arch)"
        checked "layer ($arch), built" cmake --workflow --preset "layer-$arch"
        under=(env DURABLED_LAYER="$build/dist/durabled-layer-$arch.zip"
            PYTHONPATH="$PWD/tests/system" PYTEST_ADDOPTS="-p conftest")
        run_pytest "static-$arch" tests/deploy
    done
}

# The row of a height, without the blanks that align the table; empty when unknown.
row_of() {
    awk -F'|' -v name="$1" '{
        key = $1; gsub(/ /, "", key)
        if (key == name) { sub(/^[^|]*\|[^|]*\| */, ""); print }
    }' <<<"$heights"
}

needs_of() {
    awk -F'|' -v name="$1" '{ key = $1; gsub(/ /, "", key); if (key == name) print $2 }' \
        <<<"$heights"
}

all=$(awk -F'|' 'NF > 2 { gsub(/ /, "", $1); print $1 }' <<<"$heights")
[ $# -gt 0 ] || set -- $all
all_judges=(python extension official-python official-javascript cloud-runner)
judges=()
chosen=()
last=
for word in "$@"; do
    if [ "$last" = conformance ] && [[ " ${all_judges[*]} " = *" $word "* ]]; then
        judges+=("$word")
    else
        chosen+=("$word")
        last=$word
    fi
done
packages=$base_packages
for height in "${chosen[@]}"; do
    if [ -z "$(row_of "$height")" ]; then
        echo "run.sh: no height '$height'; there are:" $all >&2
        exit 2
    fi
    packages+=" $(needs_of "$height")"
done

mkdir -p "$build"
# shellcheck disable=SC2086
install_packages $packages
for height in "${chosen[@]}"; do
    eval "$(row_of "$height")"
done
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
