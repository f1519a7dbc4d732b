# Sourced by the other scripts: where things are kept, what must be there, how a failure is told.
# shellcheck shell=bash
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac

say() { echo "cluster: $*" >&2; }
fail() {
  echo "cluster: error: $*" >&2
  exit 1
}

# The version of module $2 that folder $1 asks for.
module_version() { awk -v module="$2" '$1 == "require" && $2 == module {print $3; exit} $1 == module {print $2; exit}' "$HERE/$1/go.mod"; }
KUBERNETES_VERSION=$(module_version kubernetes k8s.io/kubernetes)
VERSIONS=kubernetes-$KUBERNETES_VERSION-containerd-$(module_version containerd github.com/containerd/containerd/v2)-coredns-$(module_version coredns github.com/coredns/coredns)-helm-$(module_version helm helm.sh/helm/v3)

# Binaries and images stay here between runs; another version in a go.mod is another folder.
CACHE=${VIPMAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vipmap}
BIN=${BIN:-$CACHE/cluster-bin/$VERSIONS}
IMAGES=${IMAGES:-$CACHE/cluster-images/$VERSIONS-$(sha256sum "$HERE/images.sh" | cut -c -8)}
# What belongs to one cluster: its network namespaces are PREFIX-control, PREFIX-node1 ... and all it writes is in DIR and RUN.
PREFIX=${PREFIX:-vm}
DIR=${DIR:-/tmp/vipmap-cluster}
# shellcheck disable=SC2034 # for the scripts that source this
RUN=/run/vipmap-cluster-$PREFIX
export BIN IMAGES PREFIX DIR

need_root() { [ "$(id -u)" = 0 ] || fail "$1 needs root (network namespaces, mounts, control groups); run it by sudo"; }

# need FILE-OR-COMMAND=PACKAGE...: installs the Debian packages of what is missing.
need() {
  local pair what missing=()
  for pair; do
    what=${pair%%=*}
    case $what in
      /*) [ -e "$what" ] ;;
      *) command -v "$what" > /dev/null ;;
    esac || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    fail "missing Debian packages: ${missing[*]}; install them: apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  apt_get install -y "${missing[@]}" || { apt_get update && apt_get install -y "${missing[@]}"; } || fail "apt-get could not install ${missing[*]}"
}
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" > /dev/null; }

need_go() {
  command -v go > /dev/null || PATH=$PATH:/usr/local/go/bin
  command -v go > /dev/null || fail 'Go is missing; 1.26 or newer builds Kubernetes: https://go.dev/dl/'
}

# lock FILE: until this script ends, one run at a time; the next one waits.
lock() {
  mkdir -p "$(dirname "$1")"
  exec 9> "$1"
  flock --nonblock 9 || { say "waiting for another run that holds $1"; flock 9; }
}
