#!/usr/bin/env bash
# Puts a part of the image into a folder: assemble.sh system|runtime|program FOLDER
#   system   Debian 13's nft and a few more programs with their libraries and nothing else: no shell, no package manager. Needs apt-get (APT_CONFIG says
#            where from) and dpkg, no root
#   runtime  Node, from the npm packages
#   program  dist/vipmap.mjs with its one native package
# Both deploy/Dockerfile and scripts/build-image.sh call it, so that their images are the same.
set -euo pipefail
part=$1 folder=$2
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# What is asked for by name; apt adds what these depend on.
packages=(
  nftables   # the rules
  ipvsadm    # mode ipvs: virtual servers where netlink cannot be used, and for people to look; cleanup: kube-proxy's
  iproute2   # mode ipvs: their addresses
  kmod       # mode ipvs: the init container loads the modules that the kernel does not load by itself
  iptables   # cleanup: what kube-proxy left
  ipset      # the same
  libstdc++6 # Node
  netbase    # names of protocols and ports, for people who list the rules
)

unpack() {
  local deb
  for deb in "$1"/*.deb; do
    dpkg -x "$deb" "$folder"
    # Where scanners look for the packages of an image without dpkg.
    mkdir -p "$folder/var/lib/dpkg/status.d"
    dpkg-deb -f "$deb" > "$folder/var/lib/dpkg/status.d/$(dpkg-deb -f "$deb" Package)"
  done
}

trim() {
  find "$folder/usr/share/doc" ! -type d ! -name copyright -delete
  rm -rf "$folder"/usr/share/{base-files,bash-completion,bug,fish,gcc,gdb,info,initramfs-tools,lintian,locale,man,zsh} "$folder"/usr/lib/*/gconv
  rm -rf "$folder"/etc/{init.d,default,update-motd.d,skel,modprobe.d,modules-load.d} "$folder"/usr/{games,include,libexec,src,local/games}
  find "$folder" -mindepth 2 -type d -empty -delete
}

settings() {
  mkdir -p "$folder"/{dev,etc,proc,run,sys,tmp,var}
  ln -s ../run "$folder/var/run"
  printf 'root:x:0:0:root:/:/usr/sbin/nologin\n' > "$folder/etc/passwd"
  printf 'root:x:0:\n' > "$folder/etc/group"
  # The API server may be a name that only the host's file knows.
  printf 'hosts: files dns\n' > "$folder/etc/nsswitch.conf"
}

install_system() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/{debs,archives/partial}
  # Nothing counts as installed, so apt brings all that the packages need and nothing that a whole system would have.
  : > "$work/status"
  local apt=(apt-get -qq -o "Dir::State::status=$work/status" -o "Dir::Cache::archives=$work/archives"
    -o APT::Sandbox::User= -o APT::Install-Recommends=false)
  "${apt[@]}" install -y --download-only "${packages[@]}"
  mv "$work"/archives/*.deb "$work/debs"
  # The links /lib and /lib64, and the release's name; its own dependencies are a shell's.
  (cd "$work/debs" && "${apt[@]}" download base-files)
  unpack "$work/debs"
  trim
  settings
}

install_runtime() {
  local package
  for package in node_modules/node-linux-*; do
    install -D -m 755 "$package/bin/node" "$folder/usr/local/bin/node"
    install -D -m 644 "$package/LICENSE" "$folder/usr/share/doc/node/copyright"
  done
}

install_program() {
  local lib=$folder/usr/local/lib/vipmap
  mkdir -p "$lib" "$folder/usr/local/bin"
  # There is no /usr/bin/env in the image.
  # A small young generation: what lives here lives long, and the rest is garbage of a first load (half the memory on a large cluster).
  sed '1s|.*|#!/usr/local/bin/node --max-semi-space-size=4|' dist/vipmap.mjs > "$lib/vipmap.mjs"
  chmod 755 "$lib/vipmap.mjs"
  ln -sf ../lib/vipmap/vipmap.mjs "$folder/usr/local/bin/vipmap"
  install -D -m 644 LICENSE "$folder/usr/share/doc/vipmap/copyright"
  # Without its sources, and without the build for another C library.
  local file
  find node_modules/koffi node_modules/@koromix/koffi-linux-* -type f ! -path '*/musl_*' ! -name cnoke.cjs ! -name trampolines.cjs \
    \( -name '*.cjs' -o -name '*.node' -o -name package.json -o -name LICENSE.txt -o -path '*/@koromix/*/index.js' \) |
    while read -r file; do install -D -m 644 "$file" "$lib/$file"; done
}

case $part in
  system) install_system ;;
  runtime | program)
    cd "$(dirname "$0")/../.."
    "install_$part"
    ;;
  *)
    echo "assemble.sh: \"$part\" is not system, runtime or program" >&2
    exit 1
    ;;
esac
