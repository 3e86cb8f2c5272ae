{{/* What the templates take from the gateway's configuration: ports, times, and what cannot be. */}}

{{/* The port at the end of IP:PORT. */}}
{{- define "patchgate.port" -}}
{{- regexFind "[0-9]+$" (default "" .) -}}
{{- end }}

{{/* "true" if nobody outside the pod reaches this address. */}}
{{- define "patchgate.isLoopback" -}}
{{- if or (hasPrefix "127." .) (hasPrefix "[::1]" .) -}}true{{- end -}}
{{- end }}

{{/* The listeners that are reached from outside the pod, as JSON: name, port and scheme of each. */}}
{{- define "patchgate.listeners" -}}
{{- $ports := list -}}
{{- range .Values.config.listeners -}}
{{- if not (include "patchgate.isLoopback" .address) -}}
{{- $ports = append $ports (dict "name" .name "port" (include "patchgate.port" .address) "scheme" (ternary "https" "http" (kindIs "map" .tls))) -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end }}

{{- define "patchgate.healthAddress" -}}
{{- default "127.0.0.1:9902" (default dict .Values.config.health).address -}}
{{- end }}

{{/* "true" if the gateway keeps a log of rollouts. */}}
{{- define "patchgate.hasAdmin" -}}
{{- if kindIs "map" .Values.config.admin -}}true{{- end -}}
{{- end }}

{{/* The admin API's port, if it is reached from outside the pod. */}}
{{- define "patchgate.adminPort" -}}
{{- if include "patchgate.hasAdmin" . -}}
{{- $address := default "127.0.0.1:9901" .Values.config.admin.address -}}
{{- if not (include "patchgate.isLoopback" $address) -}}{{- include "patchgate.port" $address -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* The listener of this name, or the first one. */}}
{{- define "patchgate.listenerOr" -}}
{{- $listeners := include "patchgate.listeners" .root | fromJsonArray -}}
{{- if .name -}}{{ .name }}{{- else if $listeners -}}{{ (first $listeners).name }}{{- end -}}
{{- end }}

{{/* The Service's port of the listener `name`. */}}
{{- define "patchgate.servicePort" -}}
{{- range include "patchgate.listeners" .root | fromJsonArray -}}
{{- if eq .name $.name -}}{{- get $.root.Values.service.ports .name | default .port | int -}}{{- end -}}
{{- end -}}
{{- end }}

{{/* A duration such as 1m30s in whole seconds, rounded up. */}}
{{- define "patchgate.seconds" -}}
{{- $units := dict "d" 86400000 "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- $ms := 0 -}}
{{- range regexFindAll "[0-9]+(ms|[dhms])" . -1 -}}
{{- $ms = add $ms (mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end }}

{{/* As long as the gateway may take to end: it drains by itself, so there is no preStop. */}}
{{- define "patchgate.gracePeriod" -}}
{{- $drain := default dict .Values.config.drain -}}
{{- $delay := include "patchgate.seconds" (default "5s" $drain.delay) -}}
{{- $timeout := include "patchgate.seconds" (default "30s" $drain.timeout) -}}
{{- add $delay $timeout .Values.graceSpareSeconds -}}
{{- end }}

{{- define "patchgate.replicas" -}}
{{- if kindIs "invalid" .Values.replicas -}}
{{- ternary 1 2 (eq "true" (include "patchgate.hasAdmin" .)) -}}
{{- else -}}
{{- int .Values.replicas -}}
{{- end -}}
{{- end }}
