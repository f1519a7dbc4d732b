#!/usr/bin/env bash
# Unpacks a Debian release's nft with its libraries into a folder, without touching the system: fetch-nft.sh RELEASE FOLDER
# FOLDER/bin/nft starts it through the libraries beside it. Needs apt and dpkg, no root; apt verifies the packages as usual.
set -euo pipefail
release=$1 target=$2
mkdir -p "$(dirname "$target")"
target=$(cd "$(dirname "$target")" && pwd)/$(basename "$target")
# Made beside the folder and moved there when it works, so that a broken attempt leaves nothing behind.
new=$target.new
apt=$new/apt
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"/{bin,root,apt/lists/partial,apt/cache/archives/partial}
: > "$apt/status"

# The system's hooks (Docker's images have some) would clean the system's cache.
cat > "$apt/apt.conf" << APT
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT

fetch() {
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $1 $release main" > "$apt/sources.list"
  rm -f "$apt"/*.deb
  apt-get -qq -c "$apt/apt.conf" update &&
    (cd "$apt" && apt-get -qq -c "$apt/apt.conf" download nftables libnftables1 libnftnl11 libmnl0 libjansson4 libgmp10 \
      libedit2 libxtables12 libc6 libtinfo6 libbsd0 libmd0)
}

# The system's own mirrors. Another vendor's archive may look like one: then its signature is not Debian's, and the next is tried.
# shellcheck disable=SC2016 # apt fills these in
mirrors=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' 2> /dev/null |
  awk '$2 !~ /-/ && $3 == "main" && !seen[$1]++ { print $1 }' || true)
problems='none of the apt sources of this system gave the packages'
for mirror in $mirrors; do
  if problem=$(fetch "$mirror" 2>&1); then
    problems=
    break
  fi
  problems+=$'\n'"$mirror: $problem"
done
if [ -n "$problems" ]; then
  echo "$problems" >&2
  exit 1
fi
for package in "$apt"/*.deb; do dpkg -x "$package" "$new/root"; done
rm -rf "$apt"

cat > "$new/bin/nft" << 'NFT'
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
chmod +x "$new/bin/nft"
"$new/bin/nft" --version > /dev/null
rm -rf "$target"
mv "$new" "$target"
