{{/* What the spec says of JSON-RPC, where that is not what it says by itself. */}}
{{- define "quorumkit.rpc" -}}
{{- $safe := list "eth" "net" "web3" "txpool" -}}
{{- $http := .Values.rpc.http | default dict -}}
{{- $ws := .Values.rpc.ws | default dict -}}
{{- $dangerous := .Values.rpc.dangerousModules | default list -}}
{{- $modules := dict "http" ($http.modules | default $safe) "ws" ($ws.modules | default $safe) -}}
{{- $kind := .Values.network.engine.kind -}}
{{- $known := (include "quorumkit.engine" . | fromJson).apiModules -}}
{{- range $part, $served := $modules -}}
{{- range $module := $served -}}
{{- if not (has $module $known) -}}
{{- fail (printf "rpc.%s.modules: %s has no %s" $part $kind $module) -}}
{{- end -}}
{{- if not (has $module (concat $safe $dangerous)) -}}
{{- fail (printf "rpc.%s.modules: with %s, whoever reaches JSON-RPC can change the node; to serve it all the same, name it in rpc.dangerousModules too" $part $module) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $spec := dict -}}
{{- $httpSpec := dict -}}
{{- if ne (toJson $modules.http) (toJson $safe) }}{{ $_ := set $httpSpec "modules" $modules.http }}{{ end -}}
{{- with $http.origins }}{{ $_ := set $httpSpec "origins" . }}{{ end -}}
{{- with $httpSpec }}{{ $_ := set $spec "http" . }}{{ end -}}
{{- if $ws.enabled -}}
{{- $_ := set $spec "ws" (dict "enabled" true "modules" $modules.ws "origins" ($ws.origins | default list)) -}}
{{- end -}}
{{- $consented := list -}}
{{- range $module := $dangerous -}}
{{- if not (has $module $known) -}}
{{- fail (printf "rpc.dangerousModules: %s has no %s" $kind $module) -}}
{{- end -}}
{{- if or (has $module $modules.http) (and $ws.enabled (has $module $modules.ws)) }}{{ $consented = append $consented $module }}{{ end -}}
{{- end -}}
{{- with $consented }}{{ $_ := set $spec "dangerous_modules" . }}{{ end -}}
{{- with $spec }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Further flags of the client, as a list. The node program refuses those that it sets itself; here they are refused
     before a pod is made. */}}
{{- define "quorumkit.clientArguments" -}}
{{- $ours := printf "^--(%s)(=|$)" (include "quorumkit.engine" . | fromJson).ourFlags -}}
{{- with .Values.network.engine.clientArguments -}}
{{- range . -}}
{{- if regexMatch $ours . -}}
{{- fail (printf "network.engine.clientArguments: %s is set by the chart or the node program" (regexFind "^[^=]+" .)) -}}
{{- end -}}
{{- end -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* Further balances, by account. */}}
{{- define "quorumkit.alloc" -}}
{{- $alloc := dict -}}
{{- $known := dict -}}
{{- range $account, $wei := .Values.network.genesis.alloc | default dict -}}
{{- if not (regexMatch "^0x[0-9a-fA-F]{40}$" $account) -}}
{{- fail (printf "network.genesis.alloc: %s is not an account address (0x and 40 hexadecimal digits; quote it in YAML, which else makes a number of it)" $account) -}}
{{- end -}}
{{- with get $known (lower $account) -}}
{{- fail (printf "network.genesis.alloc: %s and %s are one account" . $account) -}}
{{- end -}}
{{- $_ := set $known (lower $account) $account -}}
{{- $_ := set $alloc $account (include "quorumkit.text" $wei) -}}
{{- end -}}
{{- with $alloc }}{{ toYaml . }}{{ end -}}
{{- end -}}
