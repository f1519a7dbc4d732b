#!/usr/bin/env bash
# All tests, or those whose path is given: test.sh [JEST ARGS]. Says SKIPPED and why where a test cannot run; CI=true fails instead.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests
# shellcheck source=scripts/env.sh
. scripts/env.sh
use_node
use_nft
[ ! -x .tools/nft-1.0.6/bin/nft ] || export VIPMAP_OLD_NFT=$PWD/.tools/nft-1.0.6/bin/nft
if [ ! -e dist/vipmap.mjs ] || [ -n "$(find src package.json scripts/build.mjs -newer dist/vipmap.mjs -print -quit)" ]; then
  node scripts/build.mjs
fi
# Jest loads ES modules natively only with this flag.
exec node --experimental-vm-modules node_modules/jest/bin/jest.js "$@"
