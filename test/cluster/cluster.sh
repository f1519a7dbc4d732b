#!/usr/bin/env bash
# A real Kubernetes cluster on one machine, without a container engine or a virtual machine.
#   cluster.sh up                       control plane and 2 nodes; a node is a set of namespaces with its own containerd and kubelet
#   cluster.sh down                     stops all of it and leaves nothing behind, also after a crash
#   cluster.sh ctl ARGS...              kubectl
#   cluster.sh in PLACE CMD...          a command in the network of node1, node2, control or fabric (what lies between them)
#   cluster.sh import FILE.tar...       images into every node
#   cluster.sh pid NODE POD CONTAINER   process of a container; POD is a regular expression
#   cluster.sh proxy CMD...             starts a service proxy on each node; {node}, {ip} and {kubeconfig} in CMD are replaced
#   cluster.sh proxy-stop               stops it; its rules stay in the kernel, as on a real node
#   cluster.sh api-server stop|start
#   cluster.sh kubelet stop|start NODE
#   cluster.sh logs [NAME]              which logs there are, or one of them
# Needs root and the results of build.sh and images.sh. Environment: PREFIX, DIR, BIN, IMAGES (lib.sh); OWNER, the process whose cluster it
# is: when that has ended, `up` may take its place; LOGS, a folder to which `down` copies the logs.
set -euo pipefail
# shellcheck source=test/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export PATH=$BIN:$PATH

NODES=${NODES:-node1 node2}
CONTROL_IP=192.168.100.10
SERVICE_CIDRS=10.96.0.0/16,fd00:10:96::/112
POD_CIDRS=10.244.0.0/16,fd00:244::/48
declare -A IP=([node1]=192.168.100.11 [node2]=192.168.100.12) IP6=([node1]=fd00:100::11 [node2]=fd00:100::12)
declare -A PODS=([node1]=10.244.1 [node2]=10.244.2) PODS6=([node1]=fd00:244:1:: [node2]=fd00:244:2::)

# Not `ip netns exec`: that mounts a new /sys, which hides the control groups.
in_netns() (exec_in_netns "$@")
exec_in_netns() {
  local place=$1
  shift
  [ -e "/run/netns/$PREFIX-$place" ] || fail "there is no $place (network namespace $PREFIX-$place); is the cluster up?"
  exec nsenter --net="/run/netns/$PREFIX-$place" -- "$@"
}
ctl() { in_netns control "$BIN/kubectl" --kubeconfig "$DIR/admin.kubeconfig" "$@"; }
ctr_on() { CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=true "$BIN/ctr" -a "$RUN/$1/containerd.sock" -n k8s.io "${@:2}"; }
need_node() { [[ -n ${1:-} && " $NODES " = *" $1 "* ]] || fail "\"${1:-}\" is not a node; nodes are $NODES"; }

# start NAME PLACE CMD...: in the background; its log and process id are in DIR.
start() {
  local name=$1 place=$2
  shift 2
  setsid nsenter --net="/run/netns/$PREFIX-$place" -- "$@" >> "$DIR/log/$name.log" 2>&1 < /dev/null 9>&- &
  echo $! > "$DIR/pid/$name"
}
# start_on_node NAME NODE CMD...: the same in all of a node's namespaces.
start_on_node() {
  local name=$1 node=$2 enter child=
  shift 2
  setsid nsenter --target "$(cat "$DIR/pid/init-$node")" --mount --uts --pid --net -- "$@" >> "$DIR/log/$name.log" 2>&1 < /dev/null 9>&- &
  enter=$!
  for _ in $(seq 50); do
    child=$(pgrep -P "$enter" || true)
    [ -z "$child" ] || break
    sleep 0.05
  done
  echo "${child:-$enter}" > "$DIR/pid/$name"
}
# A process that has ended but that nobody waits for has no program any more.
runs() { readlink -q "/proc/$1/exe" > /dev/null; }
is_alive() { [ -e "$DIR/pid/$1" ] && runs "$(cat "$DIR/pid/$1")"; }
stop() {
  is_alive "$1" || { rm -f "$DIR/pid/$1"; return 0; }
  local pid
  pid=$(cat "$DIR/pid/$1")
  rm -f "$DIR/pid/$1"
  kill "$pid" 2> /dev/null || true
  for _ in $(seq 100); do
    runs "$pid" || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2> /dev/null || true
}
# wait_for WHAT LOG SECONDS CMD...: until CMD succeeds; fails early when the process whose log it is has ended.
wait_for() {
  local what=$1 log=$2 until=$((SECONDS + $3))
  shift 3
  while ! "$@" > /dev/null 2>&1; do
    if [ $SECONDS -ge $until ] || ! is_alive "$log"; then
      tail -n 20 "$DIR/log/$log.log" >&2
      fail "$what did not become ready; above is the end of $DIR/log/$log.log"
    fi
    sleep 0.3
  done
}

certificates() (
  cd "$DIR"
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=vipmap-test-ca 2> /dev/null
  openssl req -newkey rsa:2048 -nodes -keyout api.key -out api.csr -subj /CN=kube-apiserver 2> /dev/null
  openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out api.crt -days 30 2> /dev/null \
    -extfile <(echo "subjectAltName=IP:$CONTROL_IP,IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local")
  openssl genrsa -out sa.key 2048 2> /dev/null
  echo 'admin-token,admin,admin,system:masters' > tokens.csv
  cat > admin.kubeconfig << YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$CONTROL_IP:6443", certificate-authority: $DIR/ca.crt}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: c, context: {cluster: c, user: admin}}]
current-context: c
YAML
)

network() {
  local fabric=$PREFIX-fabric place n m
  ip netns add "$fabric"
  ip -n "$fabric" link set lo up
  ip -n "$fabric" link add br0 type bridge
  ip -n "$fabric" link set br0 up
  ip -n "$fabric" addr add 192.168.100.1/24 dev br0
  ip -n "$fabric" -6 addr add fd00:100::1/64 dev br0 nodad
  for n in control $NODES; do
    place=$PREFIX-$n
    ip netns add "$place"
    ip -n "$place" link set lo up
    ip -n "$fabric" link add "to-$n" type veth peer name eth0 netns "$place"
    ip -n "$fabric" link set "to-$n" master br0 up
    ip -n "$place" link set eth0 up
    in_netns "$n" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
    ip -n "$place" addr add "${IP[$n]:-$CONTROL_IP}/24" dev eth0
    ip -n "$place" -6 addr add "${IP6[$n]:-fd00:100::10}/64" dev eth0 nodad
    ip -n "$place" route add default via 192.168.100.1
    ip -n "$place" -6 route add default via fd00:100::1
    for m in $NODES; do
      [ "$n" != "$m" ] || continue
      ip -n "$place" route add "${PODS[$m]}.0/24" via "${IP[$m]}"
      ip -n "$place" -6 route add "${PODS6[$m]}/64" via "${IP6[$m]}"
    done
  done
}

start_api_server() {
  start apiserver control kube-apiserver --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 --advertise-address="$CONTROL_IP" \
    --tls-cert-file="$DIR/api.crt" --tls-private-key-file="$DIR/api.key" --cert-dir="$DIR/certs" --token-auth-file="$DIR/tokens.csv" \
    --authorization-mode=Node,RBAC --service-cluster-ip-range="$SERVICE_CIDRS" --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$DIR/sa.key" --service-account-signing-key-file="$DIR/sa.key" --allow-privileged=true \
    --kubelet-preferred-address-types=InternalIP --enable-admission-plugins=NodeRestriction
  wait_for 'the API server' apiserver 60 ctl get --raw /readyz
}

control_plane() {
  start etcd control etcd --data-dir "$DIR/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --quota-backend-bytes 4000000000
  start_api_server
  start controllers control kube-controller-manager --kubeconfig "$DIR/admin.kubeconfig" --service-account-private-key-file="$DIR/sa.key" \
    --root-ca-file="$DIR/ca.crt" --use-service-account-credentials=true --cluster-cidr="$POD_CIDRS" --allocate-node-cidrs=false \
    --controllers='*,-node-ipam-controller' --leader-elect=false --cert-dir="$DIR/certs-controllers"
  start scheduler control kube-scheduler --kubeconfig "$DIR/admin.kubeconfig" --leader-elect=false --cert-dir="$DIR/certs-scheduler"
}

import() {
  local n
  for n in $NODES; do ctr_on "$n" images import "$1" >> "$DIR/log/images-$n.log" 2>&1 || { tail -n 5 "$DIR/log/images-$n.log" >&2; fail "$n: could not import $1"; }; done
}

# The live container's init: its control group carries the container's id, and it is process 1 of its own process namespace.
container_pid() {
  local id file
  need_node "$1"
  for id in $(ctr_on "$1" containers ls -q "labels.\"io.kubernetes.pod.name\"~=\"$2\",labels.\"io.kubernetes.container.name\"==\"$3\""); do
    while read -r file; do
      awk '$1 == "NSpid:" && $NF == 1 {found = 1} END {exit !found}' "${file%cgroup}status" 2> /dev/null || continue
      basename "${file%/cgroup}"
      return
    done < <(grep -ls "/$id\$" /proc/[0-9]*/cgroup)
  done
  fail "$1: no running container \"$3\" of a pod like \"$2\""
}

up() {
  need_root 'cluster.sh up'
  need runc=runc /usr/lib/cni/bridge=containernetworking-plugins conntrack=conntrack openssl=openssl ip=iproute2 nft=nftables \
    flock=util-linux pgrep=procps curl=curl
  "$HERE/build.sh" --check > /dev/null || fail "binaries are missing in $BIN; run build.sh"
  "$HERE/images.sh" --check > /dev/null || fail "images are missing in $IMAGES; run images.sh"
  etcd_program
  lock_cluster
  if is_alive apiserver || is_alive etcd; then
    if [ ! -e "$DIR/owner" ] || runs "$(cat "$DIR/owner")"; then fail "a cluster is up in $DIR; end it by cluster.sh down"; fi
    say 'a cluster was left behind by a run that has ended; removing it'
  fi
  tear_down
  trap 'echo "cluster: it did not come up and is removed again" >&2; tear_down' EXIT
  mkdir -p "$DIR/log" "$DIR/pid" "$RUN"
  [ -z "${OWNER:-}" ] || echo "$OWNER" > "$DIR/owner"
  modprobe -qa br_netfilter overlay 2> /dev/null || true
  certificates
  network
  [ "$(in_netns node1 sysctl -qn net.bridge.bridge-nf-call-iptables 2> /dev/null)" = 1 ] ||
    say 'this kernel has no br_netfilter: a pod will not reach a pod of its own node through a service'
  control_plane
  local n file
  for n in $NODES; do start_node "$n"; done
  for file in "$IMAGES"/*.tar; do import "$file"; done
  for n in $NODES; do start_kubelet "$n"; done
  for n in $NODES; do wait_for "$n" "kubelet-$n" 90 ctl wait --for=condition=Ready "node/$n" --timeout=1s; done
  ctl apply -f "$HERE/coredns.yaml" > /dev/null
  trap - EXIT
  ctl get nodes -o wide
}

# Debian's etcd-server would start a service of its own when installed: only the program is taken out of the package.
etcd_program() {
  command -v etcd > /dev/null && return
  say "etcd from Debian's package, kept in $BIN"
  local work
  work=$(mktemp -d)
  (cd "$work" && chmod 755 . && { apt_get download etcd-server || { apt_get update && apt_get download etcd-server; }; } &&
    dpkg-deb -x etcd-server_*.deb . && cp usr/bin/etcd "$BIN/") || { rm -rf "$work"; fail 'apt-get could not download etcd-server'; }
  rm -rf "$work"
}

lock_cluster() {
  exec 9> "/run/lock/vipmap-cluster-$PREFIX"
  flock --timeout 60 9 || fail "another cluster.sh up or down is at work on $PREFIX"
}

# A node's process namespace ends with its first process, and with it every container, mount and network namespace of a pod.
tear_down() {
  local n pids='' id places
  read -ra places <<< "fabric control $NODES"
  [ -z "${LOGS:-}" ] || [ ! -e "$DIR/log" ] || { mkdir -p "$LOGS" && cp -r "$DIR/log/." "$LOGS/"; }
  for _ in $(seq 100); do
    pids=$(for n in "${places[@]}"; do [ ! -e "/run/netns/$PREFIX-$n" ] || ip netns pids "$PREFIX-$n" 2> /dev/null; done)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086 # one word for each process
    kill -9 $pids 2> /dev/null || true
    sleep 0.1
  done
  [ -z "$pids" ] || say "could not end these processes: $(tr '\n' ' ' <<< "$pids")"
  for n in "${places[@]}"; do [ ! -e "/run/netns/$PREFIX-$n" ] || ip netns del "$PREFIX-$n" || true; done
  awk -v d="$DIR/" -v r="$RUN/" 'index($2, d) == 1 || index($2, r) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount -l || true
  # The control groups of containers that runc did not get to remove.
  for n in "$RUN"/node*/io.containerd.runtime.v2.task/k8s.io/*; do
    id=${n##*/}
    find /sys/fs/cgroup -depth -type d -path "*/k8s.io/$id*" -exec rmdir {} + 2> /dev/null || true
  done
  find /sys/fs/cgroup -depth -type d -name k8s.io -exec rmdir {} + 2> /dev/null || true
  rm -rf --one-file-system "$DIR" "$RUN"
}

proxy() {
  local n cmd
  for n in $NODES; do
    cmd=("${@//\{node\}/$n}")
    cmd=("${cmd[@]//\{ip\}/${IP[$n]}}")
    cmd=("${cmd[@]//\{kubeconfig\}/$DIR/admin.kubeconfig}")
    ! is_alive "proxy-$n" || fail "a proxy is running on $n; end it by cluster.sh proxy-stop"
    start "proxy-$n" "$n" "${cmd[@]}"
  done
}

# shellcheck source=test/cluster/node.sh
. "$HERE/node.sh"
usage() { sed -n '2,/^# Needs root/p' "$0" | sed 's/^# \?//; $d' >&2; exit 2; }
command=${1:-}
shift || true
case $command in
  up) up ;;
  down) need_root 'cluster.sh down' && lock_cluster && tear_down ;;
  ctl) exec_in_netns control "$BIN/kubectl" --kubeconfig "$DIR/admin.kubeconfig" "$@" ;;
  in) exec_in_netns "$@" ;;
  import) for file; do import "$file"; done ;;
  pid) container_pid "$@" ;;
  proxy) proxy "$@" ;;
  proxy-stop) for n in $NODES; do stop "proxy-$n"; done ;;
  api-server) case ${1:-} in stop) stop apiserver ;; start) start_api_server ;; *) usage ;; esac ;;
  kubelet)
    need_node "${2:-}"
    case $1 in stop) stop "kubelet-$2" ;; start) start_kubelet "$2" ;; *) usage ;; esac
    ;;
  logs) if [ $# -gt 0 ]; then cat "$DIR/log/$1.log"; else basename -s .log -a "$DIR"/log/*.log; fi ;;
  *) usage ;;
esac
