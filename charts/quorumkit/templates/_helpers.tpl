{{- define "quorumkit.name" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" $name) -}}
{{- fail (printf "%q: a network's name is 1 to 40 lower-case letters, digits and '-', and begins with a letter: choose another release name, or set fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "quorumkit.peersService" -}}{{ include "quorumkit.name" . }}-peers{{- end -}}

{{- define "quorumkit.rpcService" -}}{{ include "quorumkit.name" . }}-rpc{{- end -}}

{{- define "quorumkit.joinSecret" -}}
{{ .Values.joinSecret.existingSecret | default (printf "%s-join" (include "quorumkit.name" .)) }}
{{- end -}}

{{- define "quorumkit.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{- $version := regexFind "^[^-]+" .Chart.AppVersion -}}
{{- $tag := include "quorumkit.text" (.Values.image.tag | default "") -}}
{{ .Values.image.repository }}:{{ $tag | default (printf "%s-%s%s" $version .Values.network.engine.kind (include "quorumkit.engineVersion" .)) }}
{{- end -}}
{{- end -}}

{{/* What the client can with the consensus kind (_engines.tpl), as JSON. */}}
{{- define "quorumkit.engine" -}}
{{ get (get (include "quorumkit.engines" . | fromJson) .Values.network.engine.kind) (include "quorumkit.consensus" .) | toJson }}
{{- end -}}

{{- define "quorumkit.engineVersion" -}}
{{ .Values.network.engine.version | default (include "quorumkit.engine" . | fromJson).version }}
{{- end -}}

{{/* The consensus kind; only one that the client has. Where none is named, a network keeps its own, whatever the default
     of a new one has become. */}}
{{- define "quorumkit.consensus" -}}
{{- $engine := .Values.network.engine.kind -}}
{{- $by := get (include "quorumkit.engines" . | fromJson) $engine -}}
{{- $known := splitList " " $by.all -}}
{{- $kind := .Values.network.consensus.kind -}}
{{- if not $kind -}}
{{- $kept := include "quorumkit.keptConsensus" . -}}
{{- $kind = ternary $kept (first $known) (has $kept $known) -}}
{{- end -}}
{{- if not (has $kind $known) -}}
{{- fail (printf "network.consensus.kind: %s has no %s (it has %s)" $engine $kind (join ", " $known)) -}}
{{- end -}}
{{- /* Many templates ask; the cluster is asked once. */ -}}
{{- $_ := set .Values.network.consensus "kind" $kind -}}
{{- $kind -}}
{{- end -}}

{{/* "true" where a transaction manager stands beside each client. */}}
{{- define "quorumkit.hasManager" -}}
{{- $engine := include "quorumkit.engine" . | fromJson -}}
{{- if and $engine.privateTransactions (ne .Values.network.transactionManager "none") }}true{{ end -}}
{{- end -}}

{{/* The ports that only the network's own pods may reach, by name. */}}
{{- define "quorumkit.peerPorts" -}}
p2p: 30303
exchange: 9546
{{- range $name, $port := (include "quorumkit.engine" . | fromJson).ports }}
{{ $name }}: {{ $port }}
{{- end }}
{{- if include "quorumkit.hasManager" . }}
tm: 9001
{{- end }}
{{- end -}}

{{- define "quorumkit.selector" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The StatefulSet as it is now; an empty map before the install, and where there is no cluster to ask. */}}
{{- define "quorumkit.present" -}}
{{ lookup "apps/v1" "StatefulSet" .Release.Namespace (include "quorumkit.name" .) | toJson }}
{{- end -}}

{{/* How many validators the genesis names. They stand in a label of the StatefulSet and of the claims, so that upgrades,
     and an install on claims that an earlier release left, know them. */}}
{{- define "quorumkit.validators" -}}
{{- $set := include "quorumkit.present" . | fromJson -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (include "quorumkit.firstClaim" .) -}}
{{- $label := "quorumkit.org/validators" -}}
{{- $kept := (dig "metadata" "labels" $label "" $set) | default (dig "metadata" "labels" $label "" $claim) -}}
{{- if kindIs "invalid" .Values.validators -}}
{{- $kept | default (int .Values.replicaCount) -}}
{{- else if and $kept (ne (int $kept) (int .Values.validators)) -}}
{{- fail (printf "validators: this network was made with %s, and the genesis cannot change to %d: leave validators out, or remove the claims to begin anew" $kept (int .Values.validators)) -}}
{{- else -}}
{{- int .Values.validators -}}
{{- end -}}
{{- end -}}

{{/* The consensus kind that the network here was made with; empty where there is none. It stands in the same places. The
     spec that an earlier chart left tells it too; claims alone, of an earlier one, bear only what all of them do: they are
     of the default of then. */}}
{{- define "quorumkit.keptConsensus" -}}
{{- $set := include "quorumkit.present" . | fromJson -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (include "quorumkit.firstClaim" .) -}}
{{- $label := "quorumkit.org/consensus" -}}
{{- $kept := (dig "metadata" "labels" $label "" $set) | default (dig "metadata" "labels" $label "" $claim) -}}
{{- if and $set (not $kept) -}}
{{- $spec := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-spec" (include "quorumkit.name" .)) -}}
{{- $kept = regexFind "(?m)^consensus:\n  kind: .*$" (dig "data" "quorumkit.yaml" "" $spec) | regexFind "[a-z]+$" -}}
{{- end -}}
{{- if or $kept (not (or $set (dig "metadata" "labels" "quorumkit.org/validators" "" $claim))) -}}
{{- $kept -}}
{{- else -}}
{{- get (get (include "quorumkit.engines" . | fromJson) .Values.network.engine.kind) "unmarked" -}}
{{- end -}}
{{- end -}}

{{/* A label of new claims: what the network is given as, or nothing where a StatefulSet's own templates of claims, which
     never change, have none. */}}
{{- define "quorumkit.claimsConsensus" -}}
{{- $set := include "quorumkit.present" . | fromJson -}}
{{- if $set -}}
{{- $template := first ($set.spec.volumeClaimTemplates | default (list dict)) -}}
{{- dig "metadata" "labels" "quorumkit.org/consensus" "" $template -}}
{{- else -}}
{{- include "quorumkit.consensus" . -}}
{{- end -}}
{{- end -}}

{{/* The mark of the network that the claims and the StatefulSet of this name bear; where they bear another than the one
     that is given, or the claims one that is not, they are another network's. */}}
{{- define "quorumkit.networkId" -}}
{{- $set := include "quorumkit.present" . | fromJson -}}
{{- $claimName := include "quorumkit.firstClaim" . -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace $claimName -}}
{{- $label := "quorumkit.org/network" -}}
{{- $kept := (dig "metadata" "labels" $label "" $set) | default (dig "metadata" "labels" $label "" $claim) -}}
{{- $given := .Values.network.id -}}
{{- if and $kept $given (ne $kept $given) -}}
{{- fail (printf "network.id: what is named %s here is of the network %s, not of %s: choose another name" (include "quorumkit.name" .) $kept $given) -}}
{{- else if and $kept (not $given) (not $set) -}}
{{- fail (printf "network.id: %s is here already, with the keys and the chain of the network %s: set network.id=%s to go on with it, remove its claims to begin anew, or choose another name" $claimName $kept $kept) -}}
{{- end -}}
{{- $given | default $kept -}}
{{- end -}}

{{/* The same as a label of new claims. A StatefulSet's own templates of claims never change. */}}
{{- define "quorumkit.claimsNetworkId" -}}
{{- $set := include "quorumkit.present" . | fromJson -}}
{{- if $set -}}
{{- $template := first ($set.spec.volumeClaimTemplates | default (list dict)) -}}
{{- dig "metadata" "labels" "quorumkit.org/network" "" $template -}}
{{- else -}}
{{- include "quorumkit.networkId" . -}}
{{- end -}}
{{- end -}}

{{/* How many validators must be up. Clique: a signer may seal one of any floor(N/2)+1 blocks in a row (EIP-225). raft: a
     majority. QBFT and IBFT: ceil(2N/3). BFT: more than two thirds. */}}
{{- define "quorumkit.quorum" -}}
{{- $validators := int (include "quorumkit.validators" .) -}}
{{- if has (include "quorumkit.consensus" .) (list "qbft" "ibft") -}}
{{- div (add (mul 2 $validators) 2) 3 -}}
{{- else if eq (include "quorumkit.consensus" .) "bft" -}}
{{- add (div (mul 2 $validators) 3) 1 -}}
{{- else -}}
{{- add (div $validators 2) 1 -}}
{{- end -}}
{{- end -}}

{{/* What the genesis says stays as the install had it: pods that are restarted later would refuse it. The spec as it was
     is in the ConfigMap. Where there is no cluster to ask, the pods themselves refuse. */}}
{{- define "quorumkit.checkGenesis" -}}
{{- $name := include "quorumkit.name" . -}}
{{- $present := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-spec" $name) -}}
{{- $was := dig "data" "quorumkit.yaml" "" $present -}}
{{- if and $was (include "quorumkit.present" . | fromJson) -}}
{{- $is := include "quorumkit.spec" . -}}
{{- $fields := dict "name: " "network.name" "chain_id: " "network.chainId" "  node_balance: " "network.genesis.nodeBalance" "  gas_limit: " "network.genesis.gasLimit" -}}
{{- $kind := include "quorumkit.consensus" . -}}
{{- if ne $kind "raft" -}}
{{- $fields = merge $fields (dict "  period: " "network.consensus.period" "  epoch: " "network.consensus.epoch") -}}
{{- end -}}
{{- if has $kind (list "qbft" "ibft") -}}
{{- $fields = merge $fields (dict "  request_timeout: " "network.consensus.requestTimeout") -}}
{{- end -}}
{{- if eq $kind "qbft" -}}
{{- $fields = merge $fields (dict "  max_request_timeout: " "network.consensus.maxRequestTimeout") -}}
{{- end -}}
{{- range $part := list "consensus" "engine" -}}
{{- $pattern := printf "(?m)^%s:\n  kind: .*$" $part -}}
{{- $old := regexFind $pattern $was -}}
{{- $new := regexFind $pattern $is -}}
{{- if and $old (ne $old $new) -}}
{{- fail (printf "network.%s.kind: this network was made with %s, and cannot change to %s: undo the change, or make another network" $part (regexFind "[a-z0-9]+$" $old) (regexFind "[a-z0-9]+$" $new)) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := $fields -}}
{{- $pattern := printf "(?m)^%s.*$" $key -}}
{{- $old := regexFind $pattern $was | trimPrefix $key | trimAll "\"" -}}
{{- $new := regexFind $pattern $is | trimPrefix $key | trimAll "\"" -}}
{{- if and $old (ne $old $new) -}}
{{- fail (printf "%s: this network was made with %s, and cannot change to %s: undo the change, or make another network" $value $old $new) -}}
{{- end -}}
{{- end -}}
{{- $alloc := "\n  alloc:(\n    [^\n]*)*" -}}
{{- if ne (regexFind $alloc $was | trim) (regexFind $alloc $is | trim) -}}
{{- fail "network.genesis.alloc: the accounts in the genesis cannot change: undo the change, or make another network" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "quorumkit.checkScale" -}}
{{- $replicas := int .Values.replicaCount -}}
{{- $validators := int (include "quorumkit.validators" .) -}}
{{- $quorum := int (include "quorumkit.quorum" .) -}}
{{- $present := include "quorumkit.present" . | fromJson -}}
{{- if and (not $present) (not .Values.force.scaleDown) (lt $replicas $validators) -}}
{{- fail (printf "replicaCount: a network of %d validators begins with all of them, not with %d nodes" $validators $replicas) -}}
{{- else if and (lt $replicas $quorum) (not .Values.force.scaleDown) -}}
{{- fail (printf "replicaCount: blocks need %d of the %d validators, so %d nodes would stop the chain: vote validators out first, or set force.scaleDown=true" $quorum $validators $replicas) -}}
{{- end -}}
{{- end -}}

{{/* The network's spec, the same on all nodes. Who is beyond the validators joins later, so the spec knows no observers.
     What a person wrote is in quotes, as JSON, which YAML takes as it is. A field that older node programs do not know is
     there only where it says something. */}}
{{- define "quorumkit.spec" -}}
{{- $engine := include "quorumkit.engine" . | fromJson -}}
{{- $network := .Values.network -}}
format: 1
name: {{ $network.name | default (include "quorumkit.name" .) | toJson }}
runtime: kubernetes
chain_id: {{ int64 $network.chainId }}
nodes:
  validators: {{ include "quorumkit.validators" . }}
  observers: 0
consensus:
  kind: {{ include "quorumkit.consensus" . }}
  period: {{ int64 $network.consensus.period }}
  {{- if eq (toString $network.consensus.emptyBlocks) "false" }}
  empty_blocks: false
  {{- end }}
  epoch: {{ int64 $network.consensus.epoch }}
  {{- if has "qbft" (splitList " " (get (include "quorumkit.engines" . | fromJson) $network.engine.kind).all) }}
  request_timeout: {{ int64 $network.consensus.requestTimeout }}
  max_request_timeout: {{ int64 $network.consensus.maxRequestTimeout }}
  raft_block_time: {{ int64 $network.consensus.raftBlockTime }}
  {{- end }}
engine:
  kind: {{ $network.engine.kind }}
  version: {{ include "quorumkit.engineVersion" . | toJson }}
  state: {{ $network.engine.state | default $engine.state }}
  cache: {{ int64 $network.engine.cache }}
  {{- with $network.engine.verbosity }}
  verbosity: {{ int . }}
  {{- end }}
  {{- with include "quorumkit.clientArguments" . | fromYamlArray }}
  client_arguments: {{ toJson . }}
  {{- end }}
{{- if $engine.privateTransactions }}
transaction_manager: {{ if include "quorumkit.hasManager" . }}{kind: builtin}{{ else }}null{{ end }}
{{- end }}
genesis:
  gas_limit: {{ int64 ($network.genesis.gasLimit | default $engine.gasLimit) }}
  {{- if or $network.genesis.freeGas (and $engine.freeGas (kindIs "bool" $network.genesis.freeGas)) }}
  free_gas: {{ $network.genesis.freeGas }}
  {{- end }}
  {{- range $field, $wei := dict "base_fee" $network.genesis.baseFee "gas_price" $network.genesis.gasPrice }}
  {{- $amount := include "quorumkit.amount" ($wei | default "0") }}
  {{- if not (has ($amount | replace "\"" "") (list "" "0")) }}
  {{ $field }}: {{ $amount }}
  {{- end }}
  {{- end }}
  node_balance: {{ include "quorumkit.amount" $network.genesis.nodeBalance }}
  {{- with include "quorumkit.alloc" . | fromYaml }}
  alloc:
    {{- range $account, $wei := . }}
    {{ $account | toJson }}: {{ include "quorumkit.amount" $wei }}
    {{- end }}
  {{- end }}
{{- with include "quorumkit.rpc" . | fromYaml }}
rpc: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* The host names that clients may use for JSON-RPC; a client answers to no other, for the sake of web browsers. */}}
{{- define "quorumkit.rpcNames" -}}
{{- $names := list "localhost" -}}
{{- $namespace := .Release.Namespace -}}
{{- $domain := .Values.clusterDomain -}}
{{- range $service := list (include "quorumkit.rpcService" .) (printf "$(POD_NAME).%s" (include "quorumkit.peersService" .)) -}}
{{- $names = concat $names (list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.%s" $service $namespace $domain)) -}}
{{- end -}}
{{- range include "quorumkit.ingressHosts" . | fromYamlArray -}}
{{- $names = append $names .host -}}
{{- end -}}
{{- concat $names (.Values.rpc.hostNames | default list) | uniq | join "," -}}
{{- end -}}
