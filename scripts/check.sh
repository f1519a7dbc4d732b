#!/usr/bin/env bash
# Types, lint, format and import rules: everything that needs no kernel and takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
# shellcheck source=scripts/env.sh
. scripts/env.sh
use_node
PATH=node_modules/.bin:$PATH
tsc --noEmit
eslint .
prettier --check . --log-level warn
depcruise --config .dependency-cruiser.cjs --output-type err src test bench demo
