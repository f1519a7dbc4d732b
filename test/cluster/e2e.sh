#!/usr/bin/env bash
# Runs upstream's own end-to-end tests against the cluster that is up, PROCS (default 8) at a time, and prints what failed and the totals.
#   e2e.sh                      everything that touches a service proxy (see focus below)
#   e2e.sh FOCUS [SKIP]         other regular expressions
# OUT (default DIR/log/e2e) gets e2e.log and report.json. Exit code 0 when all passed.
set -euo pipefail
# shellcheck source=test/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
OUT=${OUT:-$DIR/log/e2e}
focus='\[sig-network\] (Services|Networking (Granular|should)|Conntrack|Traffic Distribution|Topology Hints|EndpointSlice|Endpoints|HostPort|Proxy|Service endpoints|Service CIDRs|ServiceCIDR|API Server|NoSNAT|KubeProxy|DNS should|\[Feature:IPv6DualStack\])|\[sig-network\].*dual-?stack'
# Not here: tests that need a cloud's load balancer, the internet, a node's restart, a gate that is off.
skip='\[Disruptive\]|\[Alpha\]|\[Feature:(LoadBalancer|Networking-IPv4|Networking-IPv6|Networking-Performance|SCTPConnectivity|KubeProxyDaemonSetMigration|KubeProxyDaemonSetUpgrade|Example|NoSNAT|NetworkPolicy|TopologyHints|ClusterDns|PerNodeLocalDNS)\]|LoadBalancer|Internet'
mkdir -p "$OUT/tmp"
status=0
TMPDIR=$OUT/tmp KUBECONFIG=$DIR/admin.kubeconfig PATH=$BIN:$PATH "$HERE/cluster.sh" in control \
  "$BIN/ginkgo" --procs="${PROCS:-8}" --no-color --json-report="$OUT/report.json" --timeout="${TIMEOUT:-40m}" \
  --focus="${1:-$focus}" --skip="${2:-$skip}" "$BIN/e2e.test" -- \
  --kubeconfig "$DIR/admin.kubeconfig" --provider=skeleton --num-nodes=2 --disable-log-dump > "$OUT/e2e.log" 2>&1 || status=$?
grep -aE '^  \[FAIL\]|^Ran [0-9]+ of|^(SUCCESS|FAIL)!' "$OUT/e2e.log" | sort -u || true
exit $status
