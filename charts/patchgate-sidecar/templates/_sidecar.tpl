{{/*
An ingress sidecar in front of an application of the same pod. All take (dict "ctx" . "appPort" 8080):

  patchgate.sidecar                an entry of the pod's initContainers
  patchgate.sidecar.volumes        entries of its volumes
  patchgate.sidecar.checksum       an annotation by which pods follow the configuration
  patchgate.sidecar.gracePeriod    its terminationGracePeriodSeconds
  patchgate.sidecar.appLifecycle   the application's lifecycle: it ends after the sidecar
  patchgate.sidecar.configMap      an object of its own

On a pod's end the kubelet runs the preStop of all containers at once, and sends a native sidecar SIGTERM only when the
application is gone. So the sidecar begins to drain in its preStop, and the application waits in its own until it has.
*/}}

{{- define "patchgate.sidecar" -}}
{{- $values := index .ctx.Values "patchgate-sidecar" -}}
name: patchgate
image: {{ include "patchgate.sidecar.image" . }}
imagePullPolicy: {{ $values.image.pullPolicy }}
restartPolicy: Always
args: [run, --config, /etc/patchgate/config/patchgate.yaml, --log-format, {{ $values.logFormat }}]
workingDir: /var/lib/patchgate
env:
  - name: RUST_LOG
    value: info
ports:
  - name: patchgate
    containerPort: {{ $values.port }}
  - name: patchgate-probe
    containerPort: {{ $values.healthPort }}
# The application is started once this has succeeded.
startupProbe:
  httpGet:
    path: /startupz
    port: patchgate-probe
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: patchgate-probe
  periodSeconds: 5
  failureThreshold: 1
livenessProbe:
  httpGet:
    path: /livez
    port: patchgate-probe
  periodSeconds: 10
  failureThreshold: 3
lifecycle:
  preStop:
    exec:
      command:
        - /patchgate
        - drain
        - --config
        - /etc/patchgate/config/patchgate.yaml
        - --wait
        - {{ include "patchgate.sidecar.drainSeconds" . }}s
        - --reason
        - the pod ends
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
{{- with $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  # The folder, not the file: Kubernetes swaps what is in it, and the sidecar reloads it.
  - name: patchgate-config
    mountPath: /etc/patchgate/config
    readOnly: true
  - name: patchgate-data
    mountPath: /var/lib/patchgate
{{- end }}

{{- define "patchgate.sidecar.volumes" -}}
- name: patchgate-config
  configMap:
    name: {{ include "patchgate.sidecar.name" . }}
- name: patchgate-data
  emptyDir: {}
{{- end }}

{{- define "patchgate.sidecar.checksum" -}}
checksum/patchgate: {{ include "patchgate.sidecar.config" . | sha256sum }}
{{- end }}

{{- define "patchgate.sidecar.gracePeriod" -}}
{{- add 10 (include "patchgate.sidecar.drainSeconds" .) -}}
{{- end }}

{{- define "patchgate.sidecar.appLifecycle" -}}
preStop:
  sleep:
    seconds: {{ include "patchgate.sidecar.drainSeconds" . }}
{{- end }}

{{- define "patchgate.sidecar.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "patchgate.sidecar.name" . }}
  namespace: {{ .ctx.Release.Namespace | quote }}
  labels:
    helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
    app.kubernetes.io/name: {{ .ctx.Chart.Name | quote }}
    app.kubernetes.io/instance: {{ .ctx.Release.Name | quote }}
    app.kubernetes.io/component: sidecar
    app.kubernetes.io/part-of: patchgate
    app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
data:
  patchgate.yaml: |
    {{- include "patchgate.sidecar.config" . | nindent 4 }}
{{- end }}

{{/* What is made here, and before it what the values have; lists of theirs replace ours. */}}
{{- define "patchgate.sidecar.config" -}}
{{- $values := index .ctx.Values "patchgate-sidecar" -}}
{{- $listener := dict "name" "inbound" "address" (printf "0.0.0.0:%v" $values.port) "trust" (dict "addresses" $values.trust) -}}
{{- $version := default .ctx.Chart.AppVersion $values.version | required "patchgate-sidecar.version is empty, and so is the chart's appVersion: say which version the application is" -}}
{{- $app := dict "version" $version "endpoints" (list (printf "127.0.0.1:%v" .appPort)) -}}
{{- $service := dict "name" .ctx.Chart.Name "routes" (list (dict "path_prefix" "/")) "stable" $app -}}
{{- $config := dict "workers" 1 "listeners" (list $listener) "services" (list $service) -}}
{{- $_ := set $config "health" (dict "address" (printf "0.0.0.0:%v" $values.healthPort)) -}}
{{- $_ := set $config "admin" (dict "address" (printf "127.0.0.1:%v" $values.adminPort)) -}}
{{- $_ := set $config "drain" (dict "delay" $values.drainDelay "timeout" $values.drainTimeout) -}}
{{- toYaml (mergeOverwrite $config (deepCopy (default dict $values.config))) -}}
{{- end }}

{{- define "patchgate.sidecar.name" -}}
{{- printf "%s-%s" .ctx.Release.Name .ctx.Chart.Name | trunc 53 | trimSuffix "-" }}-patchgate
{{- end }}

{{- define "patchgate.sidecar.image" -}}
{{- $image := index .ctx.Values "patchgate-sidecar" "image" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index .ctx.Subcharts "patchgate-sidecar").Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}

{{/* As long as the sidecar may take to end, rounded up, and a second for its own end. */}}
{{- define "patchgate.sidecar.drainSeconds" -}}
{{- $values := index .ctx.Values "patchgate-sidecar" -}}
{{- $units := dict "d" 86400000 "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- $ms := 1000 -}}
{{- range regexFindAll "[0-9]+(ms|[dhms])" (printf "%s%s" $values.drainDelay $values.drainTimeout) -1 -}}
{{- $ms = add $ms (mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end }}
