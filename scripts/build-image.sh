#!/usr/bin/env bash
# Makes the image of deploy/Dockerfile without a container engine, as an archive that `ctr -n k8s.io images import` and `docker load` take:
#   build-image.sh OUT.tar [NAME:TAG]      (default vipmap:latest)
# Needs npm packages (scripts/setup.sh) and, on a Debian or its like, apt-get and dpkg; no root. Debian and Node are a layer of their own,
# kept in VIPMAP_CACHE (default ~/.cache/vipmap): after a change of the sources only the other one is made, in a second or two. Remove
# the kept layer to take newer Debian packages.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '3p' "$0" >&2; exit 1; }
out=$(realpath -m "$1")
name=docker.io/library/${2:-vipmap:latest}
case ${2:-} in */*) name=$2 ;; esac
cd "$(dirname "$0")/.."
# shellcheck source=scripts/env.sh
. scripts/env.sh
use_node
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "build-image: $*" >&2; }
fail() { echo "build-image: error: $*" >&2; exit 1; }

# An apt that knows Debian 13 only, from the system's own mirrors, without touching the system: $1 is the mirror, $2 that of security fixes.
make_apt() {
  rm -rf "$work/apt"
  mkdir -p "$work"/apt/{lists/partial,cache/archives/partial}
  : > "$work/apt/status"
  # The system's hooks (Docker's images have some) would clean the system's cache.
  cat > "$work/apt/apt.conf" << APT
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT
  local signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
  echo "deb $signed $1 trixie main" > "$work/apt/sources.list"
  [ -z "$2" ] || echo "deb $signed $2 trixie-security main" >> "$work/apt/sources.list"
  export APT_CONFIG=$work/apt/apt.conf
}

# Another vendor's archive may look like a mirror: then its signature is not Debian's, and the next is tried.
assemble_system() {
  local uri release mirrors=() security='' problems='none of the apt sources of this system gave the packages' problem mirror
  # shellcheck disable=SC2016 # apt fills these in
  while read -r uri release; do
    case $release in
      *-security) security=$uri ;;
      *-*) ;;
      *) mirrors+=("$uri") ;;
    esac
  done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' 'Component: main' 2> /dev/null | sort -u)
  for mirror in ${mirrors[@]+"${mirrors[@]}"}; do
    make_apt "$mirror" "$security"
    rm -rf "$1"
    if problem=$({ apt-get -qq update && deploy/image/assemble.sh system "$1"; } 2>&1); then return; fi
    problems+=$'\n'"$mirror: $problem"
  done
  fail "$problems"
}

# pack FOLDER FILE: a layer, the same bytes from the same files.
pack() {
  tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -cf "$2.$$" .
  mv "$2.$$" "$2"
}

# Every layer has to have its modes from here, not from the caller's habits.
umask 022
compgen -G 'node_modules/node-linux-*' > /dev/null || fail 'the npm packages are missing, Node 24 among them; run scripts/setup.sh'
node scripts/build.mjs

architecture=$(dpkg --print-architecture)
cache=${VIPMAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vipmap}
node_version=$(node --version)
base=$cache/image-$architecture-$(cat deploy/image/assemble.sh scripts/build-image.sh <(echo "$node_version") | sha256sum | cut -c -16).tar
if [ ! -e "$base" ]; then
  say "Debian 13's packages and Node $node_version, kept in $base"
  mkdir -p "$cache"
  rm -f "$cache/image-$architecture-"*.tar
  assemble_system "$work/base"
  deploy/image/assemble.sh runtime "$work/base"
  pack "$work/base" "$base"
fi
cp "$base" "$work/base.tar"
deploy/image/assemble.sh program "$work/program"
pack "$work/program" "$work/program.tar"

# The same settings as the Dockerfile's.
setting() { sed -n "s/^$1 //p" deploy/Dockerfile | tail -n 1; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
cat > "$work/config.json" << JSON
{
  "architecture": "$architecture",
  "os": "linux",
  "config": { "Env": [$(setting ENV | sed 's/[^ ]\+/"&"/g; s/ /, /g')], "Entrypoint": $(setting ENTRYPOINT), "Cmd": $(setting CMD) },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$(digest "$work/base.tar")", "sha256:$(digest "$work/program.tar")"] }
}
JSON
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["base.tar","program.tar"]}]\n' "$name" > "$work/manifest.json"
mkdir -p "$(dirname "$out")"
tar -C "$work" --owner=0 --group=0 --numeric-owner --mtime=@0 -cf "$out" manifest.json config.json base.tar program.tar
say "$name in $out: $(($(stat -c %s "$out") >> 20)) MiB, of which Debian and Node $(($(stat -c %s "$base") >> 20)) MiB"
