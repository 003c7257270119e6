#!/usr/bin/env bash
# pages.sh: what is made from tables and committed is what the tables say, and the
# protocol still holds what its frozen levels promised.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 daemon/cmake/logs.py --check
python3 proto/generate.py --check
