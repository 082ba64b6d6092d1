{{- /* Values that are right by themselves and can't be together. */ -}}
{{- define "overtake.refuse" -}}
{{- $embedded := .Values.broker.embedded -}}
{{- $gateway := .Values.gateway -}}
{{- range $name := list "image" "initImage" -}}
{{- if eq (get $.Values $name).tag "latest" -}}
{{- fail (printf "%s.tag: latest names another program every time; write a version, or leave it empty for the chart's, %s" $name $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- with .Values.serviceMonitor -}}
{{- if gt (include "overtake.milliseconds" .scrapeTimeout | int64) (include "overtake.milliseconds" .interval | int64) -}}
{{- fail (printf "serviceMonitor.scrapeTimeout: %s is more than serviceMonitor.interval, %s, which Prometheus refuses; write no more than that" .scrapeTimeout .interval) -}}
{{- end -}}
{{- end -}}
{{- if and $gateway.enabled $embedded.enabled -}}
{{- if gt (int (default 1 $gateway.replicas)) 1 -}}
{{- fail (printf "gateway.replicas: %d can't be with broker.embedded.enabled: each pod would have a broker of its own, and a job posted to one would be unknown to the others; set gateway.replicas to 1, or use broker.nats or broker.rabbitmq" (int $gateway.replicas)) -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled can't be with broker.embedded.enabled: each pod would have a broker of its own; use broker.nats or broker.rabbitmq to scale" -}}
{{- end -}}
{{- end -}}
{{- if and $embedded.listen.enabled (not $embedded.listen.tokenSecret.name) -}}
{{- fail "broker.embedded.listen.tokenSecret.name is missing: everybody who reaches the port could take and add messages; name a Secret with a token" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.metrics) -}}
{{- fail "autoscaling has nothing to scale by: set autoscaling.cpuPercent or autoscaling.metrics" -}}
{{- end -}}
{{- $name := include "overtake.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %s, which the release's name gives, can't be that of a Service: it must begin with a letter and have no dots; set fullnameOverride" $name) -}}
{{- end -}}
{{- $service := .Values.service -}}
{{- if and $service.externalTrafficPolicy (eq $service.type "ClusterIP") -}}
{{- fail (printf "service.externalTrafficPolicy: %s can't be with service.type ClusterIP, which nobody reaches from outside; set service.type to NodePort or LoadBalancer, or leave it empty" $service.externalTrafficPolicy) -}}
{{- end -}}
{{- range $key := list "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- if and (get $service $key) (ne $service.type "LoadBalancer") -}}
{{- fail (printf "service.%s is set and would not count with service.type %s; set service.type to LoadBalancer, or leave it empty" $key $service.type) -}}
{{- end -}}
{{- end -}}
{{- if .Values.sidecar.enabled -}}
{{- include "overtake.refuseRedirect" .Values.sidecar -}}
{{- end -}}
{{- $policy := .Values.networkPolicy -}}
{{- if and $policy.enabled $policy.egress.enabled (not $policy.egress.to) -}}
{{- fail "networkPolicy.egress.to is empty: the pods could reach neither the app nor a broker nor a collector; write what they may connect to, such as [{ports: [{port: 80}], to: [{podSelector: {matchLabels: {app: shop}}}]}], or set networkPolicy.egress.enabled to false" -}}
{{- end -}}
{{- if .Values.relay.enabled -}}
{{- if not (get .Values.config "relays") -}}
{{- fail "relay.enabled needs config.relays: write which queues are moved, such as [{from: {broker: rabbitmq, queue: orders}, queue: jobs}]" -}}
{{- end -}}
{{- if and $embedded.enabled (not $embedded.listen.enabled) -}}
{{- fail "relay.enabled with broker.embedded.enabled needs broker.embedded.listen.enabled: the relay is in a pod of its own and reaches the broker by its port" -}}
{{- end -}}
{{- end -}}
{{- $ports := dict (.Values.admin.port | toString) "admin.port" -}}
{{- $names := dict -}}
{{- $servicePorts := dict -}}
{{- range .Values.listeners -}}
{{- $port := .port | toString -}}
{{- if eq .name "admin" -}}
{{- fail "listeners: admin is the name of the admin port, too; choose another" -}}
{{- end -}}
{{- if hasKey $ports $port -}}
{{- fail (printf "listeners: port %s of %s is that of %s, too; choose another" $port .name (get $ports $port)) -}}
{{- end -}}
{{- if or (hasKey $names .name) (hasKey $servicePorts (.servicePort | toString)) -}}
{{- fail (printf "listeners: %s has the name or the servicePort of another listener; choose another" .name) -}}
{{- end -}}
{{- $_ := set $ports $port .name -}}
{{- $_ := set $names .name true -}}
{{- $_ := set $servicePorts (.servicePort | toString) true -}}
{{- end -}}
{{- if and $embedded.enabled $embedded.listen.enabled (hasKey $ports ($embedded.listen.port | toString)) -}}
{{- fail (printf "broker.embedded.listen.port: %d is the port of %s, too; choose another" (int $embedded.listen.port) (get $ports ($embedded.listen.port | toString))) -}}
{{- end -}}
{{- end -}}

{{- /* overtake.milliseconds "15s" */ -}}
{{- define "overtake.milliseconds" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (trimSuffix $unit . | int64) (get (dict "ms" 1 "s" 1000 "m" 60000) $unit) -}}
{{- end -}}

{{- /* overtake.refuseRedirect .Values.sidecar: what its init container would refuse at each start of a pod. */ -}}
{{- define "overtake.refuseRedirect" -}}
{{- $ports := dict -}}
{{- range $key := list "appPort" "inboundPort" "outboundPort" "adminPort" -}}
{{- $port := get $ $key | toString -}}
{{- if hasKey $ports $port -}}
{{- fail (printf "sidecar.%s: %s is sidecar.%s, too; choose another" $key $port (get $ports $port)) -}}
{{- end -}}
{{- $_ := set $ports $port $key -}}
{{- end -}}
{{- $redirect := .redirect -}}
{{- if and (has "*" $redirect.outboundPorts) (gt (len $redirect.outboundPorts) 1) -}}
{{- fail "sidecar.redirect.outboundPorts: * stands for all ports; write no others beside it" -}}
{{- end -}}
{{- if $redirect.inbound -}}
{{- range $redirect.excludePorts -}}
{{- if eq (toString .) (toString $.appPort) -}}
{{- fail (printf "sidecar.redirect.excludePorts: %v is sidecar.appPort, whose connections would not be redirected; take it out, or set sidecar.redirect.inbound to false" .) -}}
{{- end -}}
{{- end -}}
{{- else if not $redirect.outboundPorts -}}
{{- fail "sidecar.redirect has nothing to redirect: set sidecar.redirect.inbound to true, or sidecar.redirect.outboundPorts" -}}
{{- end -}}
{{- end -}}

{{- /*
overtake.refuseLog (list .Values.config "config" (list "/logs") "remedy"): an access log
where nothing can be written. The directories are those that can be.
*/ -}}
{{- define "overtake.refuseLog" -}}
{{- $output := get (default dict (get (index . 0) "access_log")) "output" | toString -}}
{{- $taken := or (has $output (list "" "stdout" "stderr")) (hasPrefix "/dev/" $output) (contains "${" $output) -}}
{{- range index . 2 -}}
{{- if hasPrefix (printf "%s/" (clean .)) (printf "%s/" (clean $output)) -}}
{{- $taken = true -}}
{{- end -}}
{{- end -}}
{{- if not $taken -}}
{{- fail (printf "%s.access_log.output: %s is in the container's own file system, which can't be written; write stdout or stderr%s" (index . 1) $output (index . 3)) -}}
{{- end -}}
{{- end -}}
