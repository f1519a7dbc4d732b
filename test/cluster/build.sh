#!/usr/bin/env bash
# Builds Kubernetes, containerd, CoreDNS and Helm from their Go modules; the versions are in the go.mod files beside this script.
#   build.sh [PART...]      all parts, or some of: control nodes e2e proxy helm; or etcd, which is not built but taken from Debian
#   build.sh --check        says what is missing and builds nothing; exit code 1 when something is
#   build.sh --path NAME    where the binary of that name is, built or not
# A binary that is there is kept, in BIN (see lib.sh). 14 minutes on 2 cores when nothing is cached.
set -euo pipefail
# shellcheck source=test/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

k=k8s.io/kubernetes
containerd=github.com/containerd/containerd/v2/cmd
# part, module folder, package
binaries="
control kubernetes $k/cmd/kube-apiserver
control kubernetes $k/cmd/kube-controller-manager
control kubernetes $k/cmd/kube-scheduler
control kubernetes $k/cmd/kubectl
nodes kubernetes $k/cmd/kubelet
nodes kubernetes $k/test/images/agnhost
nodes kubernetes $k/test/images/regression-issue-74839
nodes containerd $containerd/containerd
nodes containerd $containerd/containerd-shim-runc-v2
nodes containerd $containerd/ctr
nodes coredns github.com/coredns/coredns
e2e kubernetes github.com/onsi/ginkgo/v2/ginkgo
e2e kubernetes $k/test/e2e
proxy kubernetes $k/cmd/kube-proxy
helm helm helm.sh/helm/v3/cmd/helm
"
# The file that a package's binary is: the tests of package e2e are e2e.test.
binary() { case $1 in */test/e2e) echo "$BIN/e2e.test" ;; *) echo "$BIN/${1##*/}" ;; esac; }

build() {
  local module=$1 package=$2 out flags
  out=$(binary "$package")
  [ ! -x "$out" ] || return 0
  say "building ${out##*/}"
  flags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION -X k8s.io/component-base/version.gitMajor=1"
  flags+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<< "$KUBERNETES_VERSION")"
  case $package in
    */test/e2e) set -- test -c ;;
    *) set -- build -tags 'no_btrfs no_zfs no_devmapper' ;;
  esac
  (cd "$HERE/$module" && CGO_ENABLED=0 go "$@" -ldflags="$flags" -o "$out.new" "$package") || fail "go could not build $package"
  mv "$out.new" "$out"
}

# Debian's etcd-server would start a service of its own when installed: only the program is taken out of the package.
take_etcd() {
  ! command -v etcd > /dev/null && [ ! -x "$BIN/etcd" ] || return 0
  local work
  work=$(mktemp -d)
  (cd "$work" && chmod 755 . && { apt_get download etcd-server || { apt_get update && apt_get download etcd-server; }; } &&
    dpkg-deb -x etcd-server_*.deb . && cp usr/bin/etcd "$BIN/") || { rm -rf "$work"; fail 'apt-get could not download etcd-server'; }
  rm -rf "$work"
}

if [ "${1:-}" = --path ]; then
  echo "$BIN/${2:?build.sh --path: which binary?}"
  exit 0
fi
if [ "${1:-}" = --check ]; then
  absent=$(while read -r _ _ package; do [ -z "$package" ] || [ -x "$(binary "$package")" ] || binary "$package"; done <<< "$binaries")
  [ -z "$absent" ] || { echo "$absent"; exit 1; }
  exit 0
fi
[ $# -gt 0 ] || set -- control nodes e2e proxy helm
for part; do [[ " control nodes e2e proxy helm etcd " = *" $part "* ]] || fail "build.sh: unknown part \"$part\"; parts are control, nodes, e2e, proxy, helm, etcd"; done
need_go
mkdir -p "$BIN"
lock "$BIN/.lock"
while read -r part module package; do
  [[ -z $part || " $* " != *" $part "* ]] || build "$module" "$package"
done <<< "$binaries"
[[ " $* " != *" etcd "* ]] || take_etcd
