{{- define "vipmap.labels" -}}
app.kubernetes.io/name: vipmap
{{- end }}

{{/* Where the configuration is mounted. */}}
{{- define "vipmap.configPath" -}}
{{- if .Values.existingConfigMap }}{{ .Values.existingConfigPath }}{{ else }}/var/lib/vipmap{{ end }}
{{- end }}

{{/* KubeProxyConfiguration v1alpha1 as the values have it, with what the chart itself decides. */}}
{{- define "vipmap.config" -}}
{{- $connection := merge (dict "kubeconfig" "/var/lib/vipmap/kubeconfig.conf") (.Values.config.clientConnection | default dict) }}
{{- $own := dict "apiVersion" "kubeproxy.config.k8s.io/v1alpha1" "kind" "KubeProxyConfiguration" "mode" .Values.mode "clientConnection" $connection }}
{{- toYaml (merge $own (deepCopy .Values.config)) }}
{{- end }}

{{- define "vipmap.kubeconfig" -}}
apiVersion: v1
kind: Config
clusters:
  - name: default
    cluster:
      server: {{ required "apiServer must be given: the API server as nodes reach it without a service proxy, such as https://192.168.0.10:6443; or existingConfigMap (kubeadm's is kube-proxy)" .Values.apiServer }}
      certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
users:
  - name: default
    user:
      tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
contexts:
  - name: default
    context:
      cluster: default
      user: default
current-context: default
{{- end }}

{{/* What both containers have in common. */}}
{{- define "vipmap.container" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{- define "vipmap.args" -}}
- --config={{ include "vipmap.configPath" . }}/config.conf
- --hostname-override=$(NODE_NAME)
{{- if or .Values.existingConfigMap (ne .Values.mode "nftables") }}
- --mode={{ .Values.mode }}
{{- end }}
{{- end }}

{{- define "vipmap.nodeName" -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end }}
