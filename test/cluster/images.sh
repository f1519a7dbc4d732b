#!/usr/bin/env bash
# Makes the images that a cluster and upstream's tests need, from Debian packages and the binaries of build.sh, as archives in IMAGES.
#   images.sh            makes what is missing; 40 s
#   images.sh --check    says what is missing and makes nothing; exit code 1 when something is
# One root file system (Debian, with the tools that the tests call) is agnhost, glibc-dns-testing, busybox and distroless-iptables. It is nginx
# too, for pods that need only be there: an image that is missing is asked of a registry, and until that fails, which takes minutes where
# nothing answers, the kubelet does not report the pod's address.
set -euo pipefail
# shellcheck source=test/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
suite=bookworm

missing=()
for name in agnhost tools pause coredns boom; do [ -e "$IMAGES/$name.tar" ] || missing+=("$IMAGES/$name.tar"); done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "${1:-}" != --check ] || { printf '%s\n' "${missing[@]}"; exit 1; }

need_root images.sh
need_go
need debootstrap=debootstrap flock=util-linux
for binary in agnhost coredns regression-issue-74839; do [ -x "$BIN/$binary" ] || fail "$BIN/$binary is missing; run build.sh nodes"; done
mkdir -p "$IMAGES"
lock "$IMAGES/.lock"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# archive NAME LAYER ENTRYPOINT-JSON CMD-JSON IMAGE...: an image of one layer, in the format of docker save.
archive() {
  local out=$IMAGES/$1.tar layer=$2 entrypoint=$3 cmd=$4 folder=$work/archive
  shift 4
  rm -rf "$folder" && mkdir -p "$folder" && ln "$layer" "$folder/layer.tar"
  cat > "$folder/config.json" << JSON
{"architecture":"$(dpkg --print-architecture)","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:$(sha256sum "$layer" | cut -d' ' -f1)"]},
 "config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":$entrypoint,"Cmd":$cmd,"WorkingDir":"/"}}
JSON
  printf '[{"Config":"config.json","RepoTags":[%s],"Layers":["layer.tar"]}]' "$(printf '"%s",' "$@" | sed 's/,$//')" > "$folder/manifest.json"
  tar -C "$folder" -cf "$out.new" manifest.json config.json layer.tar
  mv "$out.new" "$out"
}

# one_file NAME BINARY ENTRYPOINT-JSON IMAGE...: an image of a single program.
one_file() {
  local name=$1 binary=$2 entrypoint=$3
  shift 3
  mkdir -p "$work/$name" && cp "$BIN/$binary" "$work/$name/" && tar -C "$work/$name" -cf "$work/$name.tar" .
  archive "$name" "$work/$name.tar" "$entrypoint" '[]' "$@"
}

# The Debian archive that this system is set up to use, where it is one.
# shellcheck disable=SC2016 # apt-get fills these in
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' 'Component: main' 2> /dev/null |
  awk -v suite="$suite" '$2 == suite || $2 == "trixie" {print $1; exit}')
root_files() {
  local root=$work/root porter
  # The certificate that agnhost's server "porter" takes from its folder.
  porter=$(cd "$HERE/kubernetes" && go list -f '{{.Dir}}' k8s.io/kubernetes/test/images/agnhost)/porter
  say 'a Debian for the test images, by debootstrap'
  debootstrap --variant=minbase \
    --include=curl,wget,netcat-openbsd,iptables,nftables,bind9-dnsutils,iproute2,iperf,conntrack,procps,iputils-ping \
    "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" > "$IMAGES/debootstrap.log" 2>&1 ||
    { tail -n 20 "$IMAGES/debootstrap.log" >&2; fail "debootstrap failed; all of it is in $IMAGES/debootstrap.log"; }
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,locale,man}/*
  mkdir -p "$root/uploads"
  ln -s agnhost "$root/agnhost-2"
  cp "$BIN/agnhost" "$BIN/coredns" "$porter"/localhost.{crt,key} "$root/"
  chroot "$root" useradd -u 1000 -m user-defined-in-image
  tar -C "$root" -cf "$work/root.tar" .
}

tests=registry.k8s.io/e2e-test-images
root_files
archive agnhost "$work/root.tar" '["/agnhost"]' '["pause"]' $tests/agnhost:2.63.0 $tests/agnhost:2.55 $tests/nginx:1.15-4
archive tools "$work/root.tar" '[]' '["/bin/bash"]' \
  $tests/glibc-dns-testing:2.0.0 $tests/busybox:1.37.0-1 registry.k8s.io/build-image/distroless-iptables:v0.9.6
one_file pause agnhost '["/agnhost","pause"]' registry.k8s.io/pause:3.10.1 registry.k8s.io/pause:3.10.2
one_file coredns coredns '["/coredns"]' registry.k8s.io/coredns/coredns:v1
one_file boom regression-issue-74839 '["/regression-issue-74839"]' $tests/regression-issue-74839:1.4
