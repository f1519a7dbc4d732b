#!/usr/bin/env bash
# Writes the API server's address, as the nodes reach it without a service proxy, into base/kubeconfig.conf: set-api-server.sh [URL]
# Without a URL it takes the one that kube-proxy was given by kubeadm, else the one that kubectl talks to.
set -euo pipefail
file=$(cd "$(dirname "$0")" && pwd)/base/kubeconfig.conf
url=${1:-} from=
fail() { echo "set-api-server: $*" >&2; exit 1; }
can_ask() { command -v kubectl > /dev/null && kubectl get --raw /version > /dev/null 2>&1; }

if [ -z "$url" ]; then
  can_ask || fail 'kubectl reaches no cluster to take the address from; give it: set-api-server.sh https://192.168.0.10:6443'
  url=$(kubectl -n kube-system get configmap kube-proxy -o 'jsonpath={.data.kubeconfig\.conf}' 2> /dev/null | sed -n 's/^ *server: *//p') || url=
  from=' (from the ConfigMap kube-proxy)'
  if [ -z "$url" ]; then
    url=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
    from=' (from the kubeconfig of kubectl)'
    # A tunnel or a test cluster's port: here it leads to the API server, on a node it would not.
    [[ ! $url =~ ^https?://(localhost|127\.|\[::1\]) ]] ||
      fail "kubectl reaches the API server at $url, which is this machine only; give the address that nodes use: set-api-server.sh URL"
  fi
fi

url=${url%/}
[[ $url =~ ^https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?$ ]] ||
  fail "\"$url\" is not a URL of an API server, such as https://192.168.0.10:6443"
host=${BASH_REMATCH[1]//[\[\]]/}
case $host in
  kubernetes | kubernetes.default | kubernetes.default.svc | kubernetes.default.svc.*)
    fail "\"$host\" is a service, and services work only once vipmap has reached the API server; give the address of a control plane node or its load balancer"
    ;;
esac
if can_ask; then
  for ip in $(kubectl -n default get service kubernetes -o 'jsonpath={.spec.clusterIPs[*]}'); do
    [ "$host" != "$ip" ] ||
      fail "$ip is the cluster IP of the service \"kubernetes\", which works only once vipmap has reached the API server; give the address of a control plane node or its load balancer"
  done
fi

sed -i "s|^\( *server: \).*|\1$url|" "$file"
echo "$file: server: $url$from" >&2
