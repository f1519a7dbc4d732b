#!/usr/bin/env bash
# Unpacks a Debian release's nft with its libraries into a folder, without touching the system: fetch-nft.sh RELEASE FOLDER
# FOLDER/bin/nft starts it through the libraries beside it. Needs apt and dpkg, no root; apt verifies the packages as usual.
set -euo pipefail
release=$1 target=$2
rm -rf "$target"
mkdir -p "$target"/{bin,root,apt/lists/partial,apt/cache/archives/partial}
target=$(cd "$target" && pwd)
apt=$target/apt
: > "$apt/status"

# The system's own mirror, in either form of source list.
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null || true; } |
  sed -nE 's/^(deb|URIs:)[[:space:]].*(https?:[^[:space:]]*\/debian)\/?([[:space:]].*)?$/\2/p' | head -n 1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $release main" > "$apt/sources.list"
run_apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" \
    -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= "$@"
}
run_apt update
(cd "$apt" && run_apt download nftables libnftables1 libnftnl11 libmnl0 libjansson4 libgmp10 libedit2 libxtables12 libc6 libtinfo6 libbsd0 libmd0)
for package in "$apt"/*.deb; do dpkg -x "$package" "$target/root"; done
rm -rf "$apt"

cat > "$target/bin/nft" << 'NFT'
#!/bin/sh
root=$(dirname -- "$(readlink -f -- "$0")")/../root
# Older releases have the C library in /lib, newer ones in /usr/lib only.
for loader in "$root"/lib/*/ld-linux-*.so.* "$root"/usr/lib/*/ld-linux-*.so.*; do
  [ -e "$loader" ] || continue
  libraries=$(dirname -- "$loader")
  exec "$loader" --library-path "$libraries:$root/usr/lib/$(basename -- "$libraries")" "$root/usr/sbin/nft" "$@"
done
echo "nft: no loader below $root; remove .tools and run scripts/setup.sh --kernel" >&2
exit 1
NFT
chmod +x "$target/bin/nft"
"$target/bin/nft" --version > /dev/null
