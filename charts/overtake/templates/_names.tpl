{{- /*
Names are cut so that all that is put behind them stays within 63 characters, the
hash that a StatefulSet gives its revisions among them.
*/ -}}
{{- define "overtake.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "overtake.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "overtake.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "overtake.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* overtake.selector (list $ "gateway"): labels that never change. */ -}}
{{- define "overtake.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "overtake.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* overtake.labels (list $ "gateway") */ -}}
{{- define "overtake.labels" -}}
{{- $ := index . 0 -}}
{{ include "overtake.selector" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* overtake.metadata (list $ "gateway" "-suffix") */ -}}
{{- define "overtake.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "overtake.fullname" $ }}{{ index . 2 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "overtake.labels" . | nindent 2 }}
{{- end -}}

{{- define "overtake.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "overtake.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* overtake.image (list $ .Values.image) */ -}}
{{- define "overtake.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $.Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}
