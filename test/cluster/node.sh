# Sourced by cluster.sh: a node, which is a network, mount, process and host name namespace with containerd and kubelet.
# shellcheck shell=bash

start_node() {
  local n=$1 d=$DIR/$1 unshare
  mkdir -p "$d/cni" "$d/kubelet" "$d/pods-log" "$RUN/$n"
  : > "$d/resolv.conf"
  cni_config > "$d/cni/10-bridge.conflist"
  containerd_config > "$d/containerd.toml"
  # Process 1 of the node. The shims' sockets have a fixed place, so it gets a /run/containerd of its own. bash, since it must reap.
  # shellcheck disable=SC2016 # expanded on the node
  start "init-$n" "$n" unshare --mount --propagation slave --uts --pid --fork --kill-child --mount-proc bash -c '
    hostname "$1" && mount --make-rshared / && mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && : > "$2" || exit
    while :; do sleep infinity & wait $!; done' init "$n" "$RUN/$n/ready"
  wait_for "$n" "init-$n" 10 [ -e "$RUN/$n/ready" ]
  unshare=$(cat "$DIR/pid/init-$n")
  pgrep -P "$unshare" > "$DIR/pid/init-$n"
  start_on_node "containerd-$n" "$n" "$BIN/containerd" --config "$d/containerd.toml"
  wait_for "containerd on $n" "containerd-$n" 30 ctr_on "$n" version
}

start_kubelet() {
  local n=$1 d=$DIR/$1
  kubelet_config > "$d/kubelet.yaml"
  start_on_node "kubelet-$n" "$n" "$BIN/kubelet" --config "$d/kubelet.yaml" --kubeconfig "$DIR/admin.kubeconfig" --hostname-override "$n" \
    --node-ip "${IP[$n]},${IP6[$n]}" --root-dir "$d/kubelet" --node-labels "topology.kubernetes.io/zone=zone-$n"
}

cni_config() {
  cat << JSON
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$d/ipam","ranges":[[{"subnet":"${PODS[$n]}.0/24"}],[{"subnet":"${PODS6[$n]}/64"}]],
          "routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
JSON
}

# AppArmor profiles and a lower oom_score_adj need more than a root in a container or a small virtual machine may have.
containerd_config() {
  cat << TOML
version = 3
root = "$d/containerd"
state = "$RUN/$n"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$RUN/$n/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.k8s.io/pause:3.10.1"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "$d/cni"
TOML
}

# Control groups of version 1 are taken too, and no hierarchy of them for the qualities of service: both nodes share the machine's.
kubelet_config() {
  cat << YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://$RUN/$n/containerd.sock
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
resolvConf: $d/resolv.conf
podLogsDir: $d/pods-log
healthzPort: 10248
evictionHard: {memory.available: 50Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 100
YAML
}
