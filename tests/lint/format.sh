#!/usr/bin/env bash
# format.sh check|fix: our C files against .clang-format.
set -euo pipefail
cd "$(dirname "$0")/../.."

files() {
    find daemon client extensions deploy tests -name '*.[ch]' -not -path '*/build/*' -print0
}

case "${1:-check}" in
check) files | xargs -0 -r clang-format --dry-run --Werror ;;
fix) files | xargs -0 -r clang-format -i ;;
*)
    echo "usage: format.sh check|fix" >&2
    exit 2
    ;;
esac
