#!/usr/bin/env bash
# pages.sh: the pages that are made from tables are what the tables say.
set -euo pipefail
cd "$(dirname "$0")/../.."
python3 daemon/cmake/logs.py --check
