{{- /*
What the chart of an app includes, with this chart's own context, .Subcharts.overtake:

  spec:
    initContainers:
      {{- include "overtake.sidecar.initContainers" .Subcharts.overtake | nindent 6 }}
    volumes:
      {{- include "overtake.sidecar.volumes" .Subcharts.overtake | nindent 6 }}

overtake.sidecar.initContainers is overtake.sidecar.container and then
overtake.sidecar.redirect: connections are redirected once somebody takes them.
*/ -}}
{{- define "overtake.sidecar.initContainers" -}}
{{- include "overtake.sidecar.container" . }}
{{ include "overtake.sidecar.redirect" . }}
{{- end -}}

{{- define "overtake.sidecar.refuse" -}}
{{- if not .Values.sidecar.enabled -}}
{{- fail "sidecar.enabled is false, and a pod includes the sidecar: its ConfigMap would be missing; set overtake.sidecar.enabled to true in the app's values" -}}
{{- end -}}
{{- end -}}

{{- /* A native sidecar: an init container that keeps running, and ends after the app. */ -}}
{{- define "overtake.sidecar.container" -}}
{{- include "overtake.sidecar.refuse" . -}}
{{- $sidecar := .Values.sidecar -}}
- name: overtake
  image: {{ include "overtake.image" (list . .Values.image) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  restartPolicy: Always
  args: [sidecar, -c, /etc/overtake/overtake.yaml, --log-level, {{ .Values.log.level }}, --log-format, {{ .Values.log.format }}]
  env:
    {{- include "overtake.extraEnv" (list (include "overtake.env" (list $sidecar.resources "sidecar.resources")) $sidecar.extraEnv "sidecar.extraEnv") | nindent 4 }}
  ports:
    - name: overtake-in
      containerPort: {{ $sidecar.inboundPort }}
    - name: overtake-admin
      containerPort: {{ $sidecar.adminPort }}
  {{- include "overtake.probes" (list .Values.probes "overtake-admin") | nindent 2 }}
  resources:
    {{- include "overtake.resources" (list $sidecar.resources "sidecar.resources") | nindent 4 }}
  securityContext:
    {{- include "overtake.security" . | nindent 4 }}
    runAsNonRoot: true
    runAsUser: {{ $sidecar.runAsUser }}
    runAsGroup: {{ $sidecar.runAsUser }}
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: overtake-config
      mountPath: /etc/overtake
      readOnly: true
{{- end -}}

{{- /* The only container that changes anything in the pod's network, and it ends. */ -}}
{{- define "overtake.sidecar.redirect" -}}
{{- include "overtake.sidecar.refuse" . -}}
{{- $sidecar := .Values.sidecar -}}
- name: overtake-redirect
  image: {{ include "overtake.image" (list . .Values.initImage) }}
  imagePullPolicy: {{ .Values.imagePullPolicy }}
  command: [/usr/local/bin/overtake-redirect]
  env:
    - {name: OVERTAKE_UID, value: {{ $sidecar.runAsUser | toString | quote }}}
    - {name: OVERTAKE_INBOUND_PORT, value: {{ $sidecar.inboundPort | toString | quote }}}
    - {name: OVERTAKE_OUTBOUND_PORT, value: {{ $sidecar.outboundPort | toString | quote }}}
    - {name: OVERTAKE_ADMIN_PORT, value: {{ $sidecar.adminPort | toString | quote }}}
    - {name: OVERTAKE_APP_PORTS, value: {{ $sidecar.redirect.inbound | ternary ($sidecar.appPort | toString) "" | quote }}}
    - {name: OVERTAKE_OUTBOUND_PORTS, value: {{ join "," $sidecar.redirect.outboundPorts | quote }}}
    - {name: OVERTAKE_OUTBOUND_IPV6, value: {{ $sidecar.ipv6 | ternary "yes" "no" | quote }}}
    - {name: OVERTAKE_EXCLUDE_PORTS, value: {{ join "," $sidecar.redirect.excludePorts | quote }}}
    - {name: OVERTAKE_EXCLUDE_CIDRS, value: {{ join "," $sidecar.redirect.excludeCIDRs | quote }}}
  resources:
    {{- include "overtake.resources" (list $sidecar.redirect.resources "sidecar.redirect.resources") | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    privileged: false
    readOnlyRootFilesystem: true
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    capabilities:
      drop: [ALL]
      add: [NET_ADMIN, NET_RAW]
    seccompProfile:
      type: RuntimeDefault
  volumeMounts:
    - name: overtake-run # for the lock of iptables
      mountPath: /run
{{- end -}}

{{- define "overtake.sidecar.volumes" -}}
{{- include "overtake.sidecar.refuse" . -}}
- name: overtake-config
  configMap:
    name: {{ include "overtake.fullname" . }}-sidecar
- name: overtake-run
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end -}}

{{- /*
overtake.sidecar.networkPolicy (list .Subcharts.overtake (dict "app" "billing")): a
manifest for the pods with those labels, where networkPolicy.enabled is true. The admin
port is for networkPolicy.adminFrom, all others for networkPolicy.publicFrom. It says
the port by its number, as the port's name is in an init container.
*/ -}}
{{- define "overtake.sidecar.networkPolicy" -}}
{{- $ := index . 0 -}}
{{- $policy := $.Values.networkPolicy -}}
{{- $admin := int $.Values.sidecar.adminPort -}}
{{- include "overtake.sidecar.refuse" $ -}}
{{- if $policy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "overtake.metadata" (list $ "sidecar" "-sidecar") | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- toYaml (index . 1) | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - ports:
        - {protocol: TCP, port: 1, endPort: {{ sub $admin 1 }}}
        {{- if lt $admin 65535 }}
        - {protocol: TCP, port: {{ add $admin 1 }}, endPort: 65535}
        {{- end }}
        - {protocol: UDP, port: 1, endPort: 65535}
      {{- with $policy.publicFrom }}
      from:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- with $policy.adminFrom }}
    - ports:
        - {protocol: TCP, port: {{ $admin }}}
      from:
        {{- toYaml . | nindent 8 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{- /* For the pod's annotations: replaces pods when what takes a restart has changed. */ -}}
{{- define "overtake.sidecar.annotations" -}}
checksum/overtake-sidecar: {{ include "overtake.config.restart" (list . (include "overtake.sidecar.config" .)) }}
{{- end -}}

{{- define "overtake.sidecar.config" -}}
{{- $sidecar := .Values.sidecar -}}
{{- $remedies := dict "listeners" "set sidecar.inboundPort and sidecar.outboundPort" "admin" "set sidecar.adminPort" "drain_timeout" "set drain.timeoutSeconds" "admin_token" "set OVERTAKE_ADMIN_TOKEN in sidecar.extraEnv" -}}
{{- include "overtake.config.refuse" (list $sidecar.config "sidecar.config" $remedies) -}}
{{- include "overtake.config.refuseBrokers" (list $sidecar.config "sidecar.config" "write the url of a broker elsewhere") -}}
{{- include "overtake.config.needBroker" (list $sidecar.config "sidecar.config" "write sidecar.config.brokers, with the url of a broker elsewhere") -}}
{{- include "overtake.refuseLog" (list $sidecar.config "sidecar.config" (list) "") -}}
{{- $file := deepCopy $sidecar.config -}}
{{- $outbound := int $sidecar.outboundPort -}}
{{- $listeners := list (dict "name" "inbound" "role" "inbound" "address" (printf ":%d" (int $sidecar.inboundPort))) (dict "name" "outbound" "role" "outbound" "address" (printf "127.0.0.1:%d" $outbound)) -}}
{{- if $sidecar.ipv6 -}}
{{- $listeners = append $listeners (dict "name" "outbound-6" "role" "outbound" "address" (printf "[::1]:%d" $outbound)) -}}
{{- end -}}
{{- $_ := set $file "listeners" $listeners -}}
{{- $_ := set $file "admin" (printf ":%d" (int $sidecar.adminPort)) -}}
{{- $_ := set $file "drain_timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- $upstreams := default dict (get $file "upstreams") -}}
{{- include "overtake.config.missing" (list $upstreams "app" (dict "servers" (list (printf "http://127.0.0.1:%d" (int $sidecar.appPort))))) -}}
{{- $_ := set $file "upstreams" $upstreams -}}
{{- if not (hasKey $file "routes") -}}
{{- $_ := set $file "routes" (list (dict "upstream" "app")) -}}
{{- end -}}
{{- include "overtake.config.tracing" (list $file . (default .Release.Name $sidecar.service)) -}}
{{- toYaml $file -}}
{{- end -}}
