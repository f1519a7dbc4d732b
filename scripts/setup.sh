#!/usr/bin/env bash
# Installs what the project needs beside the system's own: setup.sh [--packages | --kernel | --tests]
#   --packages  npm packages, among them Node 24 (the default)
#   --kernel    also nft 1.1.3 or newer and the programs that make namespaces
#   --tests     also an old nft, iptables, ipset and ipvsadm, what starts a virtual machine with another kernel, and Chromium, to test with
# Quiet where nothing is to do. Works as root and as an ordinary user; only Debian packages of the system need root.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
# One at a time. A file everybody can read serves as the lock, so that it does not matter who came first.
exec 9< package.json
flock 9

say() { echo "setup: $*" >&2; }
fail() { echo "setup: error: $*" >&2; exit 1; }

install_packages() {
  [ node_modules/.package-lock.json -nt package-lock.json ] && return
  command -v npm > /dev/null || fail 'npm is missing; install Node 20 or newer with npm (Debian: apt-get install nodejs npm)'
  say 'npm packages'
  # No package needs its install script, and newer npm versions do not run them unasked.
  local output
  output=$(npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error 2>&1) || {
    echo "$output" >&2
    fail 'npm ci failed; see above. Is the registry reachable (npm ping), and does package-lock.json fit package.json?'
  }
  # npm keeps the time of the package, not of the installation.
  touch node_modules/.package-lock.json
}

is_new_nft() {
  local version
  version=$("$1" --version 2> /dev/null | sed -n 's/^nftables v\([0-9.]*\).*/\1/p')
  [ -n "$version" ] && [ "$(printf '%s\n1.1.3\n' "$version" | sort -V | head -n 1)" = 1.1.3 ]
}

install_programs() {
  local missing=()
  command -v ip > /dev/null || missing+=(iproute2)
  command -v unshare > /dev/null || missing+=(util-linux)
  if [ "${1:-}" = --tests ]; then
    command -v iptables-save > /dev/null || missing+=(iptables)
    command -v ipset > /dev/null || missing+=(ipset)
    command -v ipvsadm > /dev/null || missing+=(ipvsadm)
    command -v chromium > /dev/null || missing+=(chromium)
    if [ "$(uname -m)" = x86_64 ]; then
      command -v qemu-system-x86_64 > /dev/null || missing+=(qemu-system-x86)
      # A busybox that needs libraries will not do.
      if ! command -v busybox > /dev/null || ldd "$(command -v busybox)" > /dev/null 2>&1; then missing+=(busybox-static); fi
      command -v cpio > /dev/null || missing+=(cpio)
      command -v depmod > /dev/null || missing+=(kmod)
    fi
  fi
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    say "missing: ${missing[*]}; install them (Debian: apt-get install ${missing[*]}), or what needs them is skipped"
    return
  fi
  say "Debian packages ${missing[*]}"
  # The lists may never have been fetched on this machine.
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
    fail "apt-get could not install ${missing[*]}; see above. Install them by hand, then start this again"
}

install_nft() {
  [ -x .tools/nft/bin/nft ] && return
  is_new_nft "${VIPMAP_NFT:-nft}" && return
  if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then
    say 'nft 1.1.3 or newer is missing and this is no Debian to get it from; install nftables, or what needs it is skipped'
    return
  fi
  say "nft of Debian 13 into .tools/nft, since the system's is missing or older than 1.1.3"
  scripts/fetch-nft.sh trixie .tools/nft ||
    say 'nft could not be fetched (see above); start this again when the mirror is reachable, or set VIPMAP_NFT; what needs it is skipped'
}

# Our tables must not crash the nft that a host of Debian 12 has, so the tests list them with it.
install_old_nft() {
  [ -x .tools/nft-1.0.6/bin/nft ] && return
  command -v apt-get > /dev/null && command -v dpkg > /dev/null || return 0
  say "nft 1.0.6 of Debian 12 into .tools/nft-1.0.6, for tests"
  scripts/fetch-nft.sh bookworm .tools/nft-1.0.6 || say 'it could not be fetched (see above); the test that needs it is skipped'
}

case "${1:---packages}" in
  --packages | --kernel | --tests) ;;
  *) fail "unknown option $1; --packages, --kernel or --tests" ;;
esac
install_packages
case "${1:-}" in
  --kernel | --tests)
    use_nft
    install_programs "$1"
    install_nft
    ;;
esac
if [ "${1:-}" = --tests ]; then
  install_old_nft
  # Quiet: the test that needs it says why it cannot have it.
  test/vm/vm.sh --prepare 2> /dev/null || true
fi
