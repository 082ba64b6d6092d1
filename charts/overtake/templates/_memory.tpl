{{- /*
overtake.amount (list "256Mi" "gateway.resources.limits.memory"): a quantity of
Kubernetes as a number. The name is for the error.
*/ -}}
{{- define "overtake.amount" -}}
{{- $value := index . 0 -}}
{{- $text := kindIs "float64" $value | ternary (printf "%f" $value) (toString $value) -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $amount := mulf (float64 (trimSuffix $unit $text)) (get $units $unit) -}}
{{- if gt $amount 1125899906842624.0 -}}
{{- fail (printf "%s: %s is more than a machine has; write 1024Ti or less" (index . 1) $text) -}}
{{- end -}}
{{- $amount -}}
{{- end -}}

{{- /* overtake.bytes is overtake.amount as a whole number. */ -}}
{{- define "overtake.bytes" -}}
{{- include "overtake.amount" . | float64 | floor | int64 -}}
{{- end -}}

{{- /* overtake.resources (list .Values.relay.resources "relay.resources"): of a container. */ -}}
{{- define "overtake.resources" -}}
{{- $resources := index . 0 -}}
{{- $name := index . 1 -}}
{{- range $kind, $request := $resources.requests -}}
{{- $limit := get $resources.limits $kind -}}
{{- if and $limit (gt (include "overtake.amount" (list $request (printf "%s.requests.%s" $name $kind)) | float64) (include "overtake.amount" (list $limit (printf "%s.limits.%s" $name $kind)) | float64)) -}}
{{- fail (printf "%s.requests.%s: %v is more than limits.%s, %v; write no more than that" $name $kind $request $kind $limit) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- /*
overtake.env (list .Values.gateway.resources "gateway.resources"): variables of the
Go runtime. GOMAXPROCS is not among them: Go takes it from limits.cpu. The runtime
needs room beside its heap, hence 90 %.
*/ -}}
{{- define "overtake.env" -}}
{{- $limit := (index . 0).limits.memory -}}
{{- $bytes := include "overtake.bytes" (list $limit (printf "%s.limits.memory" (index . 1))) | int64 -}}
{{- if lt $bytes 33554432 -}}
{{- fail (printf "%s.limits.memory: %v is too little for the program to start; write 32Mi or more" (index . 1) $limit) -}}
{{- end -}}
- name: GOMEMLIMIT
  value: {{ div (mul $bytes 9) 10 | quote }}
{{- end -}}

{{- /*
overtake.extraEnv (list "the chart's variables" .Values.relay.extraEnv "relay.extraEnv"):
both. Kubernetes would take the last of two with one name, or refuse them.
*/ -}}
{{- define "overtake.extraEnv" -}}
{{- $names := dict -}}
{{- range index . 0 | fromYamlArray }}{{ $_ := set $names .name true }}{{ end -}}
{{- index . 0 -}}
{{- range index . 1 -}}
{{- if hasKey $names .name -}}
{{- fail (printf "%s: %s is set already, by the chart or twice here; take it out" (index $ 2) .name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- with index . 1 }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{- /* overtake.podAnnotations (list "checksum/restart" .Values.gateway.podAnnotations "gateway.podAnnotations") */ -}}
{{- define "overtake.podAnnotations" -}}
{{- if hasKey (index . 1) (index . 0) -}}
{{- fail (printf "%s: %s is the chart's own, by which it replaces pods; take it out" (index . 2) (index . 0)) -}}
{{- end -}}
{{- with index . 1 -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
