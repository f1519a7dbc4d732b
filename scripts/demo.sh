#!/usr/bin/env bash
# The demo: real connections through real rules, in a network namespace of its own; nothing outside it is touched.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --kernel
# shellcheck source=scripts/env.sh
. scripts/env.sh
use_node
use_nft
node scripts/build.mjs

# As root, or as anybody who may make a user namespace.
for namespace in 'unshare --net' 'unshare --user --map-root-user --net'; do
  if reason=$($namespace sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward && ip link add probe0 type veth peer name probe1 && "${VIPMAP_NFT:-nft}" -j list tables' 2>&1); then
    exec $namespace node demo/demo.ts
  fi
done
echo "This machine allows no network namespace with nftables ($reason)."
echo 'So here is the dry run: what the demo cluster would put into a kernel.'
exec node dist/vipmap.mjs compile --state demo/cluster.yaml --node worker-1 --cluster-cidr 10.244.0.0/16
