{{- /* The gateway's pod, of a Deployment or a StatefulSet. */ -}}
{{- define "overtake.gateway.template" -}}
{{- $gateway := .Values.gateway -}}
metadata:
  labels:
    {{- merge (include "overtake.selector" (list . "gateway") | fromYaml) $gateway.podLabels | toYaml | nindent 4 }}
  annotations:
    checksum/restart: {{ include "overtake.config.restart" (list . (include "overtake.config" (list . "gateway"))) }}
    {{- with include "overtake.podAnnotations" (list "checksum/restart" $gateway.podAnnotations "gateway.podAnnotations") }}
    {{- . | nindent 4 }}
    {{- end }}
spec:
  {{- include "overtake.pod.common" (list . $gateway) | nindent 2 }}
  {{- if kindIs "bool" $gateway.hostUsers }}
  hostUsers: {{ $gateway.hostUsers }}
  {{- end }}
  # The delay before SIGTERM, the drain after it, and a margin for the last spans.
  terminationGracePeriodSeconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 10 }}
  {{- with $gateway.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" (include "overtake.selector" (list $ "gateway") | fromYaml))) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "overtake.gateway.container" . | nindent 4 }}
  volumes:
    {{- include "overtake.volumes" (list . "") | nindent 4 }}
    {{- range .Values.listeners }}
    {{- if .tlsSecret }}
    - name: tls-{{ .name }}
      secret:
        secretName: {{ .tlsSecret }}
        defaultMode: 0440
    {{- end }}
    {{- end }}
    {{- with $gateway.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "overtake.gateway.env" -}}
{{- include "overtake.env" (list .Values.gateway.resources "gateway.resources") }}
{{- with .Values.admin.tokenSecret }}
{{- if .name }}
- name: OVERTAKE_ADMIN_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- include "overtake.brokerEnv" . }}
{{- end -}}

{{- define "overtake.gateway.container" -}}
{{- $gateway := .Values.gateway -}}
- name: gateway
  {{- $image := .Values.image }}
  {{- with .Values.socketMarks }}
  {{- if .enabled }}
  {{- $image = merge (pick . "repository" "digest") (omit $image "repository" "digest") }}
  {{- end }}
  {{- end }}
  image: {{ include "overtake.image" (list . $image) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  args: [gateway, -c, /etc/overtake/overtake.yaml, --log-level, {{ .Values.log.level }}, --log-format, {{ .Values.log.format }}]
  env:
    {{- include "overtake.extraEnv" (list (include "overtake.gateway.env" .) $gateway.extraEnv "gateway.extraEnv") | nindent 4 }}
  ports:
    {{- range .Values.listeners }}
    - name: {{ .name }}
      containerPort: {{ .port }}
    {{- end }}
    - name: admin
      containerPort: {{ .Values.admin.port }}
    {{- with .Values.broker.embedded }}
    {{- if and .enabled .listen.enabled }}
    - name: broker
      containerPort: {{ .listen.port }}
    {{- end }}
    {{- end }}
  {{- include "overtake.probes" (list .Values.probes "admin") | nindent 2 }}
  {{- if and .Values.drain.delaySeconds (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}
  # Endpoints and load balancers learn of the end while the pod still takes requests.
  lifecycle:
    preStop:
      sleep:
        seconds: {{ .Values.drain.delaySeconds }}
  {{- end }}
  resources:
    {{- include "overtake.resources" (list $gateway.resources "gateway.resources") | nindent 4 }}
  securityContext:
    {{- if .Values.socketMarks.enabled }}
    # An added capability is dropped when a program of another user than root starts,
    # but for a program whose file has it, and only where privileges may grow thereby.
    allowPrivilegeEscalation: true
    privileged: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
      add: [NET_ADMIN]
    {{- else }}
    {{- include "overtake.security" . | nindent 4 }}
    {{- end }}
  volumeMounts:
    {{- include "overtake.mounts" . | nindent 4 }}
    {{- if .Values.broker.embedded.enabled }}
    - name: data
      mountPath: /var/lib/overtake
    {{- end }}
    {{- range .Values.listeners }}
    {{- if .tlsSecret }}
    - name: tls-{{ .name }}
      mountPath: /etc/overtake-tls/{{ .name }}
      readOnly: true
    {{- end }}
    {{- end }}
    {{- with $gateway.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
