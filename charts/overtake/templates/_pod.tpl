{{- define "overtake.security" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "overtake.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* overtake.pod.common (list $ .Values.gateway "gateway"): what all pods have, but for containers and volumes. */ -}}
{{- define "overtake.pod.common" -}}
{{- $ := index . 0 -}}
{{- $part := index . 1 -}}
serviceAccountName: {{ include "overtake.serviceAccountName" $ }}
automountServiceAccountToken: false
enableServiceLinks: false # a Service named overtake would set OVERTAKE_PORT
securityContext:
  {{- include "overtake.podSecurity" $ | nindent 2 }}
{{- with $.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "overtake.brokerEnv" -}}
{{- $broker := .Values.broker -}}
{{- $secrets := dict -}}
{{- if and $broker.embedded.enabled $broker.embedded.listen.enabled }}{{ $_ := set $secrets "BROKER_TOKEN" $broker.embedded.listen.tokenSecret }}{{ end -}}
{{- if $broker.nats.enabled }}{{ $_ := set $secrets "NATS_TOKEN" $broker.nats.tokenSecret }}{{ end -}}
{{- if $broker.rabbitmq.enabled }}{{ $_ := set $secrets "RABBITMQ_URL" $broker.rabbitmq.urlSecret }}{{ end -}}
{{- range $name, $secret := $secrets }}
{{- if $secret.name }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* overtake.brokerFiles: Secrets that brokers need as files, by the directory below /etc. */ -}}
{{- define "overtake.brokerFiles" -}}
{{- $broker := .Values.broker -}}
{{- $files := dict -}}
{{- if $broker.nats.enabled -}}
{{- $_ := set $files "overtake-nats" $broker.nats.credentialsSecret.name -}}
{{- $_ := set $files "overtake-nats-ca" $broker.nats.caSecret.name -}}
{{- end -}}
{{- if $broker.rabbitmq.enabled -}}
{{- $_ := set $files "overtake-rabbitmq-ca" $broker.rabbitmq.caSecret.name -}}
{{- end -}}
{{- $used := dict -}}
{{- range $dir, $secret := $files }}{{ if $secret }}{{ $_ := set $used $dir $secret }}{{ end }}{{ end -}}
{{- toYaml $used -}}
{{- end -}}

{{- define "overtake.mounts" -}}
- name: config
  mountPath: /etc/overtake
  readOnly: true
{{- range $dir, $_ := include "overtake.brokerFiles" . | fromYaml }}
- name: {{ trimPrefix "overtake-" $dir }}
  mountPath: /etc/{{ $dir }}
  readOnly: true
{{- end }}
{{- end -}}

{{- /* overtake.volumes (list $ "-suffix of the ConfigMap") */ -}}
{{- define "overtake.volumes" -}}
{{- $ := index . 0 -}}
- name: config
  configMap:
    name: {{ include "overtake.fullname" $ }}{{ index . 1 }}
{{- range $dir, $secret := include "overtake.brokerFiles" $ | fromYaml }}
- name: {{ trimPrefix "overtake-" $dir }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- /* overtake.probe (list .Values.probes.liveness "/healthz" "admin") */ -}}
{{- define "overtake.probe" -}}
{{- $probe := index . 0 -}}
httpGet:
  path: {{ index . 1 }}
  port: {{ index . 2 }}
periodSeconds: {{ $probe.periodSeconds }}
timeoutSeconds: {{ $probe.timeoutSeconds }}
failureThreshold: {{ $probe.failureThreshold }}
{{- end -}}

{{- /*
overtake.probes (list .Values.probes "admin"): all three, at the port of that name.
The startup probe does not ask for /readyz, as that may be told to wait for the app
(probes.readiness.path), and beside a sidecar, the app only starts after it.
*/ -}}
{{- define "overtake.probes" -}}
{{- $probes := index . 0 -}}
startupProbe:
  {{- include "overtake.probe" (list $probes.startup "/healthz" (index . 1)) | nindent 2 }}
livenessProbe:
  {{- include "overtake.probe" (list $probes.liveness "/healthz" (index . 1)) | nindent 2 }}
readinessProbe:
  {{- include "overtake.probe" (list $probes.readiness $probes.readiness.path (index . 1)) | nindent 2 }}
{{- end -}}
