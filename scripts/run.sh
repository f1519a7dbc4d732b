#!/usr/bin/env bash
# Runs a script of the project with the right Node and nft, after setting up what it needs: run.sh FILE ARGS...
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --kernel
# shellcheck source=scripts/env.sh
. scripts/env.sh
use_node
use_nft
exec node "$@"
