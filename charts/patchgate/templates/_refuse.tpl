{{/* What the schema cannot say. All problems are told at once, each with its remedy. */}}

{{- define "patchgate.addressProblems" -}}
{{- $problems := list -}}
{{- range $index, $listener := .Values.config.listeners -}}
{{- $at := printf "config.listeners[%d]" $index -}}
{{- $port := include "patchgate.port" $listener.address -}}
{{- if or (eq $port "") (contains "$" $listener.address) -}}
{{- $problems = append $problems (printf "%s.address `%s` does not say its port: write it out, such as 0.0.0.0:8080, for the chart takes ports from it" $at $listener.address) -}}
{{- else if not (include "patchgate.isLoopback" $listener.address) -}}
{{- if lt (int $port) 1024 -}}
{{- $problems = append $problems (printf "%s.address listens on port %s, for which a container needs a privilege: listen on 8080, and give the Service the port by service.ports.%s: %s" $at $port $listener.name $port) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$" $listener.name) -}}
{{- $problems = append $problems (printf "%s.name `%s` names a port in Kubernetes: write up to 15 of a-z, 0-9 and -" $at $listener.name) -}}
{{- else if or (has $listener.name (list "health" "admin")) (not (regexMatch "[a-z]" $listener.name)) (contains "--" $listener.name) -}}
{{- $problems = append $problems (printf "%s.name `%s` is no name that a port in Kubernetes can have beside `health` and `admin`: choose another" $at $listener.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (include "patchgate.listeners" . | fromJsonArray) -}}
{{- $problems = append $problems "config.listeners has none that is reached from outside the pod: listen on 0.0.0.0 or [::]" -}}
{{- end -}}
{{- $health := include "patchgate.healthAddress" . -}}
{{- if include "patchgate.isLoopback" $health -}}
{{- $problems = append $problems (printf "config.health.address `%s` is not reached by the kubelet's probes: write 0.0.0.0:9902" $health) -}}
{{- else if or (contains "$" $health) (lt (int (include "patchgate.port" $health)) 1024) -}}
{{- $problems = append $problems (printf "config.health.address `%s` does not say a port from 1024 on: write it out, such as 0.0.0.0:9902" $health) -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{- define "patchgate.adminProblems" -}}
{{- $problems := list -}}
{{- if include "patchgate.hasAdmin" . -}}
{{- $admin := .Values.config.admin -}}
{{- $file := default "./patchgate-data" (default dict $admin.store).file -}}
{{- if or .Values.autoscaling.enabled (gt (int (include "patchgate.replicas" .)) 1) -}}
{{- $problems = append $problems "config.admin keeps rollouts in a file, which one pod alone may write: set replicas: 1 and autoscaling.enabled: false, or run the gateways that need no log of their own as a release without config.admin" -}}
{{- end -}}
{{- if or (contains ".." $file) (and (hasPrefix "/" $file) (not (hasPrefix "/var/lib/patchgate/" $file))) -}}
{{- $problems = append $problems (printf "config.admin.store.file `%s` is not on the volume: leave it out, or write a path below /var/lib/patchgate" $file) -}}
{{- end -}}
{{- if contains "$" (default "" $admin.address) -}}
{{- $problems = append $problems (printf "config.admin.address `%s` does not say its port: write it out, for the chart takes ports from it" $admin.address) -}}
{{- else if and (include "patchgate.adminPort" .) (not $admin.tokens) (ne "tokens" (default "" $admin.auth)) -}}
{{- $problems = append $problems (printf "config.admin.address `%s` is reached by others than the pod itself: add config.admin.auth: tokens" $admin.address) -}}
{{- end -}}
{{- with .Values.tokens.existingSecret -}}
{{- $path := printf "/etc/patchgate/tokens/%s" $.Values.tokens.key -}}
{{- if ne $path (default "" $admin.tokens) -}}
{{- $problems = append $problems (printf "tokens.existingSecret is mounted, but not read: set config.admin.tokens: %s" $path) -}}
{{- end -}}
{{- end -}}
{{- else if .Values.tokens.existingSecret -}}
{{- $problems = append $problems "tokens.existingSecret is of no use without config.admin" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{- define "patchgate.objectProblems" -}}
{{- $problems := list -}}
{{- $names := list -}}
{{- range include "patchgate.listeners" . | fromJsonArray -}}{{- $names = append $names .name -}}{{- end -}}
{{- $has := join ", " $names -}}
{{- range $name, $_ := .Values.service.ports -}}
{{- if not (or (has $name $names) (eq $name "http")) -}}
{{- $problems = append $problems (printf "service.ports.%s names no listener that is reached from outside; there are: %s" $name $has) -}}
{{- end -}}
{{- end -}}
{{- range $key, $value := dict "ingress" .Values.ingress "httpRoute" .Values.httpRoute -}}
{{- if and $value.enabled $value.listener (not (has $value.listener $names)) -}}
{{- $problems = append $problems (printf "%s.listener `%s` names no listener that is reached from outside; there are: %s" $key $value.listener $has) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $problems = append $problems "ingress.hosts is empty: name at least one, such as {host: shop.example.com, paths: [{path: /, pathType: Prefix}]}" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $problems = append $problems "httpRoute.parentRefs is empty: name the Gateway, such as {name: public}" -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- $both := not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) -}}
{{- $neither := and (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- if and .enabled (or $both $neither) -}}
{{- $problems = append $problems "podDisruptionBudget takes one of minAvailable and maxUnavailable: set the other one to null" -}}
{{- end -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- $problems = append $problems "autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" $.Values.resources)) -}}
{{- $problems = append $problems "autoscaling by CPU goes by what is requested: set resources.requests.cpu" -}}
{{- end -}}
{{- if not (or .targetCPUUtilizationPercentage .metrics) -}}
{{- $problems = append $problems "autoscaling has nothing to go by: set targetCPUUtilizationPercentage or metrics" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) -}}
{{- $problems = append $problems "networkPolicy.egress is empty, so the gateway would reach no backend: list the rules that lead to them" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- $problems = append $problems "serviceMonitor and podMonitor would scrape every pod twice: enable one" -}}
{{- end -}}
{{- toJson $problems -}}
{{- end }}

{{- define "patchgate.refuse" -}}
{{- $problems := concat (include "patchgate.addressProblems" . | fromJsonArray) (include "patchgate.adminProblems" . | fromJsonArray) (include "patchgate.objectProblems" . | fromJsonArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\npatchgate cannot run with these values:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end }}
