{{- /*
The configuration files. What the values' config has wins; what other values make is
filled in where it has nothing. (merge would replace what is written as 0 or false.)
*/ -}}

{{- /* overtake.config.refuse (list .Values.config "config"): keys that other values set. */ -}}
{{- define "overtake.config.refuse" -}}
{{- $name := index . 1 -}}
{{- range $key, $remedy := index . 2 -}}
{{- if hasKey (index $ 0) $key -}}
{{- fail (printf "%s.%s can't be set here, as the pods depend on it; %s" $name $key $remedy) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
overtake.config.refuseBrokers (list .Values.config "config" "remedy for embedded"): what
would be in a file system that can't be written, or what would be a secret in a ConfigMap.
*/ -}}
{{- define "overtake.config.refuseBrokers" -}}
{{- $name := index . 1 -}}
{{- $remedy := index . 2 -}}
{{- range $key, $broker := default dict (get (index . 0) "brokers") -}}
{{- $at := printf "%s.brokers.%s" $name $key -}}
{{- if ne (default "false" (toString (get $broker "embedded"))) "false" -}}
{{- fail (printf "%s.embedded can't be set here: each pod would have a broker of its own, in a file system that can't be written; %s" $at $remedy) -}}
{{- end -}}
{{- if and (get $broker "token") (not (regexMatch "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$" (toString (get $broker "token")))) -}}
{{- fail (printf "%s.token would be in a ConfigMap, which is not secret; write \"${NAME}\", and give the pod that variable from a Secret by extraEnv" $at) -}}
{{- end -}}
{{- range $url := append (default list (get $broker "urls")) (get $broker "url") -}}
{{- if and (contains "@" (toString $url)) (not (regexMatch "^[a-z]+://([^@/:]*:)?\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}@[^@]*$" (toString $url))) -}}
{{- fail (printf "%s: a URL with a password would be in a ConfigMap, which is not secret; write \"${NAME}\" in place of the password or of the URL, and give the pod that variable from a Secret by extraEnv" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* overtake.config.needBroker (list file "config" "remedy"): the program would embed one where there is none. */ -}}
{{- define "overtake.config.needBroker" -}}
{{- $file := index . 0 -}}
{{- if and (get $file "queues") (not (get $file "brokers")) -}}
{{- fail (printf "%s.queues has no broker to be on; %s" (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}

{{- /* overtake.config.missing (list file name made): adds made's keys to file.name where it has none. */ -}}
{{- define "overtake.config.missing" -}}
{{- $file := index . 0 -}}
{{- $name := index . 1 -}}
{{- $part := default dict (get $file $name) -}}
{{- range $key, $value := index . 2 -}}
{{- if not (hasKey $part $key) -}}
{{- $_ := set $part $key $value -}}
{{- end -}}
{{- end -}}
{{- $_ := set $file $name $part -}}
{{- end -}}

{{- define "overtake.config.tracing" -}}
{{- $file := index . 0 -}}
{{- $tracing := (index . 1).Values.tracing -}}
{{- $made := dict "service" (index . 2) -}}
{{- if ne $tracing.exporter "none" -}}
{{- if not $tracing.endpoint -}}
{{- fail (printf "tracing.endpoint is missing: with tracing.exporter %s, write where spans go, such as http://jaeger-collector:4318" $tracing.exporter) -}}
{{- end -}}
{{- $_ := set $made "exporter" $tracing.exporter -}}
{{- $_ := set $made "endpoint" $tracing.endpoint -}}
{{- $_ := set $made "sample" $tracing.sample -}}
{{- end -}}
{{- with $tracing.query -}}
{{- $_ := set $made "query" . -}}
{{- end -}}
{{- include "overtake.config.missing" (list $file "tracing" $made) -}}
{{- end -}}

{{- /* overtake.config.brokers (list file $ "gateway"): for whom says where the embedded broker is. */ -}}
{{- define "overtake.config.brokers" -}}
{{- $file := index . 0 -}}
{{- $ := index . 1 -}}
{{- $broker := $.Values.broker -}}
{{- $made := default dict (get $file "brokers") -}}
{{- if $broker.embedded.enabled -}}
{{- $local := dict "type" "nats" -}}
{{- if eq (index . 2) "relay" -}}
{{- $_ := set $local "url" (printf "nats://%s-broker:%d" (include "overtake.fullname" $) (int $broker.embedded.listen.port)) -}}
{{- else -}}
{{- $share := div (mul (include "overtake.bytes" (list $broker.embedded.size "broker.embedded.size") | int64) 3) 4 -}}
{{- $_ := set $local "embedded" true -}}
{{- $_ := set $local "dir" "/var/lib/overtake/broker" -}}
{{- $_ := set $local "sync" $broker.embedded.sync -}}
{{- $_ := set $local "max_bytes" (default (printf "%dMiB" (div $share 1048576)) $broker.embedded.maxBytes) -}}
{{- if $broker.embedded.listen.enabled -}}
{{- $_ := set $local "listen" (printf ":%d" (int $broker.embedded.listen.port)) -}}
{{- end -}}
{{- end -}}
{{- if $broker.embedded.listen.enabled -}}
{{- $_ := set $local "token" "${BROKER_TOKEN}" -}}
{{- end -}}
{{- include "overtake.config.missing" (list $made "local" $local) -}}
{{- if ne (index . 2) "relay" -}}
{{- include "overtake.config.refuseBytes" (list $made.local $broker.embedded) -}}
{{- end -}}
{{- end -}}
{{- with $broker.nats -}}
{{- if .enabled -}}
{{- $nats := dict "type" "nats" "urls" .urls "replicas" .replicas -}}
{{- if .tokenSecret.name }}{{ $_ := set $nats "token" "${NATS_TOKEN}" }}{{ end -}}
{{- if .credentialsSecret.name }}{{ $_ := set $nats "credentials" (printf "/etc/overtake-nats/%s" .credentialsSecret.key) }}{{ end -}}
{{- if .caSecret.name }}{{ $_ := set $nats "tls" (dict "ca" (printf "/etc/overtake-nats-ca/%s" .caSecret.key)) }}{{ end -}}
{{- include "overtake.config.missing" (list $made "nats" $nats) -}}
{{- end -}}
{{- end -}}
{{- with $broker.rabbitmq -}}
{{- if .enabled -}}
{{- if not (or .url .urlSecret.name) -}}
{{- fail "broker.rabbitmq.urlSecret.name is missing: name the Secret that has the URL with user and password, or write broker.rabbitmq.url if it needs none" -}}
{{- end -}}
{{- $rabbitmq := dict "type" "rabbitmq" "url" (empty .urlSecret.name | ternary .url "${RABBITMQ_URL}") -}}
{{- if .caSecret.name }}{{ $_ := set $rabbitmq "tls" (dict "ca" (printf "/etc/overtake-rabbitmq-ca/%s" .caSecret.key)) }}{{ end -}}
{{- include "overtake.config.missing" (list $made "rabbitmq" $rabbitmq) -}}
{{- end -}}
{{- end -}}
{{- if $made }}{{ $_ := set $file "brokers" $made }}{{ end -}}
{{- end -}}

{{- /*
overtake.config.refuseBytes (list $broker .Values.broker.embedded): a bound above the
volume. It is the program that says what a size is; it knows more units than Kubernetes.
*/ -}}
{{- define "overtake.config.refuseBytes" -}}
{{- $broker := index . 0 -}}
{{- $size := (index . 1).size -}}
{{- $most := get $broker "max_bytes" | toString -}}
{{- if and (hasPrefix "/var/lib/overtake/" (get $broker "dir")) (regexMatch "^[0-9]+[KMGT]iB$" $most) -}}
{{- $name := eq $most (index . 1).maxBytes | ternary "broker.embedded.maxBytes" "config.brokers.local.max_bytes" -}}
{{- if ge (include "overtake.bytes" (list (trimSuffix "B" $most) $name) | int64) (include "overtake.bytes" (list $size "broker.embedded.size") | int64) -}}
{{- fail (printf "%s: %s is not less than broker.embedded.size, %s: the volume would be full before the queues are; write less, or leave it out for three quarters of size" $name $most $size) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "overtake.config.listeners" -}}
{{- $listeners := list -}}
{{- range .Values.listeners -}}
{{- $listener := deepCopy (default dict .settings) -}}
{{- range $key := list "name" "address" "role" "tls" -}}
{{- if hasKey $listener $key -}}
{{- fail (printf "listeners[].settings.%s can't be set here; set name, port, tlsSecret and clientCA of the listener" $key) -}}
{{- end -}}
{{- end -}}
{{- $known := list "trust" "proxy_protocol" "proxy_protocol_from" "limits" "abort_on_close" -}}
{{- range $key, $_ := $listener -}}
{{- if not (has $key $known) -}}
{{- fail (printf "listeners[].settings.%s is no key of a listener; the keys are %s" $key (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $listener "name" .name -}}
{{- $_ := set $listener "address" (printf ":%d" (int .port)) -}}
{{- if .tlsSecret -}}
{{- $dir := printf "/etc/overtake-tls/%s" .name -}}
{{- $tls := dict "cert" (printf "%s/tls.crt" $dir) "key" (printf "%s/tls.key" $dir) -}}
{{- if .clientCA }}{{ $_ := set $tls "client_ca" (printf "%s/ca.crt" $dir) }}{{ end -}}
{{- $_ := set $listener "tls" $tls -}}
{{- else if .clientCA -}}
{{- fail (printf "listeners: %s has clientCA and no tlsSecret; name the Secret that has tls.crt, tls.key and ca.crt" .name) -}}
{{- end -}}
{{- $listeners = append $listeners $listener -}}
{{- end -}}
{{- toYaml $listeners -}}
{{- end -}}

{{- /* overtake.config (list $ "gateway"): the file of the gateway, or that of the relay. */ -}}
{{- define "overtake.config" -}}
{{- $ := index . 0 -}}
{{- $values := $.Values -}}
{{- $remedies := dict "listeners" "set listeners" "admin" "set admin.port" "drain_timeout" "set drain.timeoutSeconds" "admin_token" "set admin.tokenSecret" -}}
{{- include "overtake.config.refuse" (list $values.config "config" $remedies) -}}
{{- include "overtake.config.refuseBrokers" (list $values.config "config" "set broker.embedded.enabled, which gives the one pod a volume") -}}
{{- $file := deepCopy $values.config -}}
{{- if eq (index . 1) "gateway" -}}
{{- $_ := set $file "listeners" (include "overtake.config.listeners" $ | fromYamlArray) -}}
{{- $_ := set $file "admin" (printf ":%d" (int $values.admin.port)) -}}
{{- $_ := set $file "drain_timeout" (printf "%ds" (int $values.drain.timeoutSeconds)) -}}
{{- $upstreams := default dict (get $file "upstreams") -}}
{{- if or (not $upstreams) (hasKey $upstreams "app") -}}
{{- include "overtake.config.missing" (list $upstreams "app" (dict "servers" $values.app.servers)) -}}
{{- $_ := set $file "upstreams" $upstreams -}}
{{- else if ne (toJson $values.app.servers) (toJson (list "http://app:8080")) -}}
{{- fail (printf "app.servers: config.upstreams has no app that would have %s for its servers; write them in config.upstreams.%s.servers, or call an upstream app" (join ", " $values.app.servers) (keys $upstreams | sortAlpha | first)) -}}
{{- end -}}
{{- $logs := ternary (list "/var/lib/overtake") (list) $values.broker.embedded.enabled -}}
{{- range $values.gateway.extraVolumeMounts -}}
{{- if not .readOnly }}{{ $logs = append $logs .mountPath }}{{ end -}}
{{- end -}}
{{- include "overtake.refuseLog" (list $file "config" $logs ", or mount a volume there by gateway.extraVolumes and gateway.extraVolumeMounts") -}}
{{- else -}}
{{- $file = pick $file "classes" "default_class" "rules" "brokers" "queues" "relays" -}}
{{- range $name, $queue := default dict (get $file "queues") -}}
{{- $_ := set $file.queues $name (omit $queue "deliver") -}}
{{- end -}}
{{- end -}}
{{- include "overtake.config.brokers" (list $file $ (index . 1)) -}}
{{- include "overtake.config.needBroker" (list $file "config" "set broker.embedded.enabled, broker.nats.enabled or broker.rabbitmq.enabled, or write config.brokers") -}}
{{- if eq (index . 1) "gateway" -}}
{{- include "overtake.config.tracing" (list $file $ (include "overtake.fullname" $)) -}}
{{- end -}}
{{- toYaml $file -}}
{{- end -}}

{{- /*
overtake.config.restart (list $ FILE): a sum of what the gateway takes over at a restart only. The
rest it reads again by itself, so that a pod is not replaced for it. What is not
known to be read again counts.
*/ -}}
{{- define "overtake.config.restart" -}}
{{- $file := index . 1 | fromYaml -}}
{{- $fixed := omit $file "rules" "routes" "default_class" "flow" "expose" "dry_run" "drain_timeout" "upstreams" "relays" "admin_hosts" -}}
{{- range $name, $keys := dict "tracing" (list "sample" "propagate" "query") "access_log" (list "sample") -}}
{{- $part := default dict (get $fixed $name) -}}
{{- range $keys }}{{ $part = omit $part . }}{{ end -}}
{{- $_ := set $fixed $name $part -}}
{{- end -}}
{{- $classes := list -}}
{{- range default list (get $fixed "classes") }}{{ $classes = append $classes (pick . "name" "socket") }}{{ end -}}
{{- $listeners := list -}}
{{- range default list (get $fixed "listeners") }}{{ $listeners = append $listeners (pick . "name" "address" "role") }}{{ end -}}
{{- $_ := set $fixed "classes" $classes -}}
{{- $_ := set $fixed "listeners" $listeners -}}
{{- $fixed | toJson | sha256sum -}}
{{- end -}}
