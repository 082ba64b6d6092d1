{{- /*
overtake.bytes (list "256Mi" "gateway.resources.limits.memory"): a quantity of
Kubernetes as a whole number of bytes. The name is for the error.
*/ -}}
{{- define "overtake.bytes" -}}
{{- $value := index . 0 -}}
{{- $text := kindIs "float64" $value | ternary (printf "%.0f" $value) (toString $value) -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if not (and (regexMatch "^[0-9]+([.][0-9]+)?$" $number) (hasKey $units $unit)) -}}
{{- fail (printf "%s: %q is not an amount of memory; write a number with Ki, Mi, Gi, Ti, k, M, G, T or nothing, such as 256Mi" (index . 1) $text) -}}
{{- end -}}
{{- mulf (float64 $number) (get $units $unit) | floor | int64 -}}
{{- end -}}

{{- /*
overtake.env (list .Values.gateway.resources "gateway.resources"): variables of the
Go runtime. GOMAXPROCS is not among them: Go takes it from limits.cpu. The runtime
needs room beside its heap, hence 90 %.
*/ -}}
{{- define "overtake.env" -}}
{{- $limit := dig "limits" "memory" "" (index . 0) -}}
{{- if not $limit -}}
{{- fail (printf "%s.limits.memory is missing: without it one client could take the node's memory; write an amount such as 512Mi" (index . 1)) -}}
{{- end -}}
{{- $bytes := include "overtake.bytes" (list $limit (printf "%s.limits.memory" (index . 1))) | int64 -}}
{{- if lt $bytes 33554432 -}}
{{- fail (printf "%s.limits.memory: %v is too little for the program to start; write 32Mi or more" (index . 1) $limit) -}}
{{- end -}}
- name: GOMEMLIMIT
  value: {{ div (mul $bytes 9) 10 | quote }}
{{- end -}}
