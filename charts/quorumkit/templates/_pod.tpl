{{/* Where pods run, for nodes and for the test alike. */}}
{{- define "quorumkit.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "quorumkit.texts" (.Values.nodeSelector | default dict) | fromYaml }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name of the service account that pods run under; empty means the namespace's own, of which they get no token. */}}
{{- define "quorumkit.serviceAccount" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- if $account.create -}}
{{ $account.name | default (include "quorumkit.name" .) }}
{{- else -}}
{{ $account.name | default "" }}
{{- end -}}
{{- end -}}

{{/* Containers that a person adds, as a list. Templates in them are filled in. One that says nothing of what it may do
     may do no more than the node. */}}
{{- define "quorumkit.containers" -}}
{{- $top := .top -}}
{{- $field := .field -}}
{{- $containers := list -}}
{{- range .containers -}}
{{- $container := tpl (toYaml .) $top | fromYaml -}}
{{- if eq $container.name "node" -}}
{{- fail (printf "%s: node is the name of the chart's own container" $field) -}}
{{- end -}}
{{- if and (not (hasKey $container "securityContext")) $top.Values.securityContext -}}
{{- $_ := set $container "securityContext" $top.Values.securityContext -}}
{{- end -}}
{{- $containers = append $containers $container -}}
{{- end -}}
{{- with $containers }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Volumes that a person adds. */}}
{{- define "quorumkit.volumes" -}}
{{- range .Values.extraVolumes -}}
{{- if has .name (list "data" "spec" "join" "tmp") -}}
{{- fail (printf "extraVolumes: %s is the name of a volume of the chart's own" .name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.extraVolumes }}{{ tpl (toYaml .) $ }}{{ end -}}
{{- end -}}

{{- define "quorumkit.secretEnv" -}}{{ include "quorumkit.name" . }}-env{{- end -}}

{{/* The variables of the node program: the chart's, `secretEnv`, and `extraEnv`, whose own go before those of the same
     name. */}}
{{- define "quorumkit.env" -}}
{{- $peers := include "quorumkit.peersService" . -}}
{{- $name := include "quorumkit.name" . -}}
{{- $extra := list -}}
{{- $named := dict -}}
{{- range .Values.extraEnv -}}
{{- $variable := tpl (toYaml .) $ | fromYaml -}}
{{- if hasKey $variable "value" }}{{ $_ := set $variable "value" (include "quorumkit.text" $variable.value) }}{{ end -}}
{{- if hasKey $named $variable.name -}}
{{- fail (printf "extraEnv: %s is there twice" $variable.name) -}}
{{- end -}}
{{- $_ := set $named $variable.name true -}}
{{- $extra = append $extra $variable -}}
{{- end -}}
{{- $env := list (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name"))) -}}
{{- range list
  (list "QUORUMKIT_NODE_NAME" "$(POD_NAME)")
  (list "QUORUMKIT_SPEC" "/etc/quorumkit/quorumkit.yaml")
  (list "QUORUMKIT_JOIN_SECRET_FILE" "/etc/quorumkit-join/secret")
  (list "QUORUMKIT_PEER_PREFIX" (printf "%s-" $name))
  (list "QUORUMKIT_PEER_SUFFIX" (printf ".%s" $peers))
  (list "QUORUMKIT_FIRST_INDEX" "0")
  (list "QUORUMKIT_EXCHANGE_BIND" "0.0.0.0:9546")
  (list "QUORUMKIT_P2P_BIND" "0.0.0.0:30303")
  (list "QUORUMKIT_HEALTH" "0.0.0.0:9545")
  (list "QUORUMKIT_RPC_BIND" "0.0.0.0:8545")
  (list "QUORUMKIT_RPC_URL" (printf "http://$(POD_NAME).%s.%s.svc:8545" $peers .Release.Namespace))
  (list "QUORUMKIT_RPC_NAMES" (include "quorumkit.rpcNames" .))
-}}
{{- if not (hasKey $named (first .)) -}}
{{- $env = append $env (dict "name" (first .) "value" (last .)) -}}
{{- end -}}
{{- end -}}
{{- range $variable, $_ := .Values.secretEnv -}}
{{- if not (hasKey $named $variable) -}}
{{- $env = append $env (dict "name" $variable "valueFrom" (dict "secretKeyRef" (dict "name" (include "quorumkit.secretEnv" $) "key" $variable))) -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat $env $extra) -}}
{{- end -}}

{{/* The claim of the first node. */}}
{{- define "quorumkit.firstClaim" -}}
{{ .Values.persistence.existingClaim | default (printf "data-%s-0" (include "quorumkit.name" .)) }}
{{- end -}}

{{- define "quorumkit.checkClaims" -}}
{{- if and .Values.persistence.existingClaim (gt (int .Values.replicaCount) 1) -}}
{{- fail (printf "persistence.existingClaim: one claim holds one node's keys and chain, not those of %d; leave it empty, and claims that are called data-%s-0 and so on are used as they are" (int .Values.replicaCount) (include "quorumkit.name" .)) -}}
{{- end -}}
{{- end -}}

{{/* The Ingress's hosts and their paths, as a list: `hosts`, and before them `host` with `path`. */}}
{{- define "quorumkit.ingressHosts" -}}
{{- $ingress := .Values.ingress | default dict -}}
{{- $hosts := list -}}
{{- if $ingress.enabled -}}
{{- with $ingress.host -}}
{{- $hosts = append $hosts (dict "host" . "paths" (list (dict "path" ($ingress.path | default "/") "pathType" "Prefix"))) -}}
{{- end -}}
{{- range $ingress.hosts -}}
{{- $paths := list -}}
{{- range .paths | default (list "/") -}}
{{- if kindIs "string" . -}}
{{- $paths = append $paths (dict "path" . "pathType" "Prefix") -}}
{{- else -}}
{{- $paths = append $paths (dict "path" (.path | default "/") "pathType" (.pathType | default "Prefix")) -}}
{{- end -}}
{{- end -}}
{{- $hosts = append $hosts (dict "host" .host "paths" $paths) -}}
{{- end -}}
{{- end -}}
{{- with $hosts }}{{ toYaml . }}{{ end -}}
{{- end -}}
