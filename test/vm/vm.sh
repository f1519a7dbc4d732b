#!/usr/bin/env bash
# Runs a command in a virtual machine with another kernel than this machine's: for IPVS, which many kernels lack, and for older kernels.
#   vm.sh [-c CPUS] [-m MB] [-t SECONDS] [-o FOLDER] COMMAND ARGS...
#   vm.sh --prepare      fetches the kernel where it is not there yet; exit code 0 when machines can be started
# The machine sees this machine's files at their own paths, so every program and checkout here is there too. What it writes is lost, but
# for FOLDER. The command is root there, starts in the current folder and gets PATH, HOME, CI and VIPMAP_*; the console is the standard output.
# Exit code: the command's; 124 when the time is up (default 600 s); 125 when the machine could not be started, or crashed.
# VIPMAP_VM_KERNEL names the kernel's Debian package (default linux-image-amd64; not a -cloud- one, which has no 9p). It is downloaded from
# the apt sources of this system and unpacked, not installed, into VIPMAP_CACHE (default ~/.cache/vipmap). No root is needed.
set -euo pipefail
self=$(readlink -f -- "${BASH_SOURCE[0]}")
kernel=${VIPMAP_VM_KERNEL:-linux-image-amd64}
cache=${VIPMAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vipmap}/vm
cpus=$(nproc) memory=2048 limit=600 out=
[ "$cpus" -le 4 ] || cpus=4
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac

say() { echo "vm: $*" >&2; }
fail() { echo "vm: error: $*" >&2; exit 125; }
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$self" >&2; exit 125; }

need_programs() {
  local missing=()
  [ "$(uname -m)" = x86_64 ] || fail "this processor is $(uname -m), and machines are made for x86_64 only"
  command -v qemu-system-x86_64 > /dev/null || missing+=(qemu-system-x86)
  command -v cpio > /dev/null || missing+=(cpio)
  command -v modprobe > /dev/null && command -v depmod > /dev/null || missing+=(kmod)
  # One that needs libraries would not start before this machine's files are there.
  if ! command -v busybox > /dev/null || ldd "$(command -v busybox)" > /dev/null 2>&1; then missing+=(busybox-static); fi
  [ ${#missing[@]} -eq 0 ] || fail "missing: ${missing[*]} (Debian: apt-get install --no-install-recommends ${missing[*]})"
}

# The image that a package without a version stands for, then that.
download() {
  image=$(apt-cache "${apt[@]}" depends "$kernel" 2> /dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
  image=${image:-$kernel}
  (cd "$new" && apt-get "${apt[@]}" -qq download "$image")
}

# Lists of one's own, since only root can renew the system's; hooks (Docker's images have some) would clean the system's cache.
renew_lists() {
  mkdir -p "$new"/apt/{lists,cache/archives}/partial
  cat > "$new/apt/apt.conf" << APT
Dir::State::lists "$new/apt/lists";
Dir::Cache "$new/apt/cache";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT
  apt+=(-c "$new/apt/apt.conf")
  apt-get "${apt[@]}" -qq update
}

fetch_kernel() {
  [ ! -e "$cache/$kernel/ready" ] || return 0
  if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
    fail "this is no Debian to get the kernel $kernel from"
  fi
  mkdir -p "$cache" || fail "the folder $cache cannot be made; VIPMAP_CACHE names another"
  # One at a time; the next one finds it done.
  exec 8> "$cache/lock"
  flock 8
  [ ! -e "$cache/$kernel/ready" ] || return 0
  new=$cache/new apt=(-o APT::Sandbox::User=) image=
  rm -rf "$new"
  mkdir -p "$new/root"
  say "fetching the kernel $kernel into $cache"
  if ! download > "$new/log" 2>&1 && ! { renew_lists >> "$new/log" 2>&1; download >> "$new/log" 2>&1; }; then
    cat "$new/log" >&2
    fail "the apt sources of this system gave no package $image; is a mirror reachable, and does VIPMAP_VM_KERNEL name a kernel?"
  fi
  dpkg-deb -x "$new"/*.deb "$new/root"
  rm -rf "$new"/*.deb "$new/apt" "$new/log"
  prune
  touch "$new/ready"
  rm -rf "${cache:?}/$image"
  mv "$new" "$cache/$image"
  [ "$image" = "$kernel" ] || ln -sfn "$image" "$cache/$kernel"
  exec 8>&-
}

# Drivers of devices that no such machine has are four fifths of a kernel.
prune() {
  local modules version
  modules=$(find "$new/root" -type d -path '*/lib/modules/*' -prune -print -quit)
  if [ -z "$modules" ] || ! compgen -G "$new/root/boot/vmlinuz-*" > /dev/null; then
    fail "package $image has no kernel with modules; VIPMAP_VM_KERNEL must name one of Debian's linux-image packages"
  fi
  version=${modules##*/}
  rm -rf "$modules"/kernel/{sound,drivers/net/{ethernet,wireless}}
  find "$modules/kernel/drivers" -mindepth 1 -maxdepth 1 ! -name net ! -name virtio ! -name char -exec rm -rf {} +
  # Debian 13 has them in /usr/lib, and depmod looks in /lib.
  [ -e "$new/root/lib" ] || ln -s usr/lib "$new/root/lib"
  depmod -b "$new/root" "$version"
  modprobe -d "$new/root" -S "$version" --show-depends 9pnet_virtio > /dev/null 2>&1 ||
    fail "kernel $version cannot share files with this machine (no 9pnet_virtio); Debian's -cloud- kernels cannot"
}

unpacked() {
  case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -qdc "$1" ;;
    *.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
  esac
}

# Made for each run: it takes a tenth of a second, and then never is of another version than this file.
make_initrd() {
  local files=$1 applet module name number=0
  mkdir -p "$files"/{bin,modules,proc,sys,dev,lower,upper,new}
  cp "$(command -v busybox)" "$files/bin/busybox"
  for applet in sh mount mkdir insmod switch_root echo; do ln -s busybox "$files/bin/$applet"; done
  # In the order in which they need each other.
  while read -r module; do
    name=${module##*/}
    number=$((number + 1))
    unpacked "$module" > "$files/modules/$(printf %02d "$number")-${name%%.*}.ko"
  done < <(for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe -d "$root" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++')
  cat > "$files/init" << INIT
#!/bin/sh
set -e
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "\$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=1048576,cache=loose host /lower
mount -t tmpfs -o size=90% tmpfs /upper
mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
for folder in proc sys dev; do mount --move /\$folder /new/\$folder; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576 out $(printf '%q' "/new$out")
exec switch_root -c /dev/console /new /bin/bash $(printf '%q' "$work/start")
INIT
  chmod +x "$files/init"
  (cd "$files" && find . | cpio -o -H newc --quiet) > "$work/initrd"
}

# The machine's first process.
make_start() {
  local variable
  cat > "$work/start" << START
stty -F /dev/console -onlcr
mkdir -p /dev/pts /dev/shm /lib/modules
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
rm -rf /lib/modules/$version
ln -s $(printf '%q' "$root/lib/modules/$version") /lib/modules/$version
ip link set lo up
hostname vm
START
  for variable in PATH HOME CI ${!VIPMAP_*}; do
    [ -z "${!variable+set}" ] || printf 'export %s=%q\n' "$variable" "${!variable}"
  done >> "$work/start"
  {
    printf 'cd %q\n(' "$PWD"
    printf ' %q' "$@"
    printf ' )\necho $? > %q\n' "$out/$status_file"
    # Powers off at once: nothing here is worth a tidy end.
    printf 'sync\nbusybox poweroff -f\n'
  } >> "$work/start"
}

[ $# -gt 0 ] || usage
if [ "$1" = --prepare ]; then
  need_programs
  fetch_kernel
  exit 0
fi
while getopts c:m:t:o: option; do
  case $option in
    c) cpus=$OPTARG ;;
    m) memory=$OPTARG ;;
    t) limit=$OPTARG ;;
    o) out=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage
need_programs
fetch_kernel
root=$(readlink -f -- "$cache/$kernel")/root
version=$(basename -- "$root"/lib/modules/*)
work=$(readlink -f -- "$(mktemp -d "${TMPDIR:-/tmp}/vipmap-vm.XXXXXX")")
trap 'rm -rf "$work"' EXIT
mkdir -p "${out:=$work/out}"
out=$(readlink -f -- "$out")
status_file=.status.$$
make_initrd "$work/initrd.d"
make_start "$@"

status=0
# Software emulation always: a /dev/kvm that is there within another virtual machine often aborts or hangs.
# Without the wide vectors and the protection keys, whose emulation is young in Debian 12's qemu 7.2: V8 crashed there, once in many runs.
cpu=max,-pku,-pks,-la57,-avx,-avx2,-fma,-f16c
# In qemu's options a comma within a value is written twice.
timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu "$cpu" -smp "$cpus" -m "$memory" \
  -nodefaults -no-user-config -display none -serial stdio -no-reboot \
  -kernel "$root/boot/vmlinuz-$version" -initrd "$work/initrd" \
  -append 'console=ttyS0 quiet loglevel=4 panic=-1 oops=panic mitigations=off' \
  -virtfs 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap' \
  -virtfs "local,path=${out//,/,,},mount_tag=out,security_model=none" < /dev/null &
machine=$!
trap 'kill "$machine" 2> /dev/null' INT TERM
wait "$machine" || status=$?
if [ -e "$out/$status_file" ]; then
  status=$(cat "$out/$status_file")
  rm "$out/$status_file"
  exit "$status"
fi
case $status in
  0) fail 'the machine crashed before the command ended; what its kernel said is above' ;;
  124) echo "vm: error: the command did not end within $limit s (-t sets another limit)" >&2; exit 124 ;;
  *) fail "qemu ended with exit code $status; what it said is above" ;;
esac
