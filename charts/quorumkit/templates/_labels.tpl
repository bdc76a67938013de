{{/* A value as text: numbers and booleans, which `--set` makes of what looks like one, as they were written. */}}
{{- define "quorumkit.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* An amount: a whole number as it is, and what is written otherwise (1e22, 5 ether) in quotes, for YAML would make a
     number of some of it that is not exact. */}}
{{- define "quorumkit.amount" -}}
{{- $text := include "quorumkit.text" . -}}
{{- if regexMatch "^[0-9]+$" $text }}{{ $text }}{{ else }}{{ toJson $text }}{{ end -}}
{{- end -}}

{{/* A map whose values are all texts, as the API asks of labels and annotations. What is null is left out. */}}
{{- define "quorumkit.texts" -}}
{{- $texts := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $texts $key (include "quorumkit.text" $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $texts -}}
{{- end -}}

{{/* An `annotations:` of those maps, the later before the earlier; nothing where they are empty. */}}
{{- define "quorumkit.annotations" -}}
{{- $all := dict -}}
{{- range . -}}
{{- $all = mergeOverwrite $all (include "quorumkit.texts" (. | default dict) | fromYaml) -}}
{{- end -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Labels that a selector finds things by, and those that a person gave: `.more` is a map from a value's name to what
     it holds. With `.own` also those that say where the thing comes from. */}}
{{- define "quorumkit.mergedLabels" -}}
{{- $fixed := include "quorumkit.selector" .top | fromYaml -}}
{{- with .component }}{{ $_ := set $fixed "app.kubernetes.io/component" . }}{{ end -}}
{{- $labels := .own | default dict -}}
{{- $more := merge (dict) (.more | default dict) (dict "commonLabels" .top.Values.commonLabels) -}}
{{- range $field := keys $more | sortAlpha -}}
{{- range $key, $text := include "quorumkit.texts" (get $more $field | default dict) | fromYaml -}}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "quorumkit.org/validators") -}}
{{- fail (printf "%s: %s is the chart's own: Services and policies find pods by it" $field $key) -}}
{{- end -}}
{{- $_ := set $labels $key $text -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $labels $fixed) -}}
{{- end -}}

{{/* The labels of everything but pods and claims; for the argument see `quorumkit.mergedLabels`. */}}
{{- define "quorumkit.labelsOf" -}}
{{- $top := .top -}}
{{- $own := dict "app.kubernetes.io/version" $top.Chart.AppVersion "app.kubernetes.io/managed-by" $top.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $top.Chart.Name ($top.Chart.Version | replace "+" "_")) -}}
{{- include "quorumkit.mergedLabels" (merge (dict "own" $own) .) -}}
{{- end -}}

{{- define "quorumkit.labels" -}}
{{- include "quorumkit.labelsOf" (dict "top" .) -}}
{{- end -}}
