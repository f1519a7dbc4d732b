# Sourced by the other scripts: sets `root`, puts the right Node first in PATH and names the right nft.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export NODE_NO_WARNINGS=1

# Node 24, from npm, beside whatever the system has.
use_node() {
  local package
  for package in "$root"/node_modules/node-linux-*/bin; do
    [ -x "$package/node" ] && PATH=$package:$PATH
  done
  export PATH
}

# nft 1.1.3 or newer: the one that was asked for, else ours, else the system's.
use_nft() {
  if [ -z "${VIPMAP_NFT:-}" ] && [ -x "$root/.tools/nft/bin/nft" ]; then
    export VIPMAP_NFT=$root/.tools/nft/bin/nft
  fi
  case ":$PATH:" in *:/usr/sbin:*) ;; *) export PATH=$PATH:/usr/sbin:/sbin ;; esac
}
