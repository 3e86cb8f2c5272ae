{{/* The gateway's pod, the same in a Deployment and in a StatefulSet. */}}

{{- define "patchgate.podTemplate" -}}
metadata:
  labels:
    {{- include "patchgate.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or (eq .Values.reload "rollout") .Values.podAnnotations }}
  annotations:
    {{- if eq .Values.reload "rollout" }}
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "patchgate.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "patchgate.gracePeriod" . }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: patchgate
      {{- include "patchgate.container" . | nindent 6 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "patchgate.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- include "patchgate.spread" . | nindent 4 }}
{{- end }}

{{- define "patchgate.spread" -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "patchgate.selectorLabels" . | fromYaml)) -}}
{{- $node := dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $zone := dict "maxSkew" 1 "topologyKey" "topology.kubernetes.io/zone" "whenUnsatisfiable" "ScheduleAnyway" -}}
{{- $constraints := list -}}
{{- range default (list $node $zone) .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (dict) . $selector) -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end }}

{{- define "patchgate.container" -}}
image: {{ include "patchgate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, --config, /etc/patchgate/config/patchgate.yaml, --log-format, {{ .Values.log.format }}]
{{- if include "patchgate.hasAdmin" . }}
# The default of config.admin.store.file is relative.
workingDir: /var/lib/patchgate
{{- end }}
env:
  - name: RUST_LOG
    value: {{ .Values.log.level | quote }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- range include "patchgate.listeners" . | fromJsonArray }}
  - name: {{ .name | quote }}
    containerPort: {{ .port }}
  {{- end }}
  - name: health
    containerPort: {{ include "patchgate.port" (include "patchgate.healthAddress" .) }}
  {{- with include "patchgate.adminPort" . }}
  - name: admin
    containerPort: {{ . }}
  {{- end }}
{{- range $kind, $path := dict "startup" "/startupz" "readiness" "/readyz" "liveness" "/livez" }}
{{ $kind }}Probe:
  httpGet:
    path: {{ $path }}
    port: health
  {{- with get $.Values.probes $kind }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  # The folder, not the file: Kubernetes swaps what is in it, and the gateway reloads it.
  - name: config
    mountPath: /etc/patchgate/config
    readOnly: true
  {{- if include "patchgate.hasAdmin" . }}
  - name: data
    mountPath: /var/lib/patchgate
  {{- end }}
  {{- if .Values.tokens.existingSecret }}
  - name: tokens
    mountPath: /etc/patchgate/tokens
    readOnly: true
  {{- end }}
  {{- range $index, $secret := .Values.tlsSecrets }}
  - name: tls-{{ $index }}
    mountPath: /etc/patchgate/tls/{{ $secret }}
    readOnly: true
  {{- end }}
  {{- range $index, $certificate := .Values.certificates }}
  - name: certificate-{{ $index }}
    mountPath: /etc/patchgate/tls/{{ $certificate.name }}
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "patchgate.volumes" -}}
- name: config
  configMap:
    name: {{ include "patchgate.fullname" . }}
{{- if include "patchgate.hasAdmin" . }}
{{- if not .Values.persistence.enabled }}
- name: data
  emptyDir: {}
{{- else if .Values.persistence.existingClaim }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim }}
{{- end }}
{{- end }}
{{- with .Values.tokens.existingSecret }}
- name: tokens
  secret:
    secretName: {{ . }}
{{- end }}
{{- range $index, $secret := .Values.tlsSecrets }}
- name: tls-{{ $index }}
  secret:
    secretName: {{ $secret }}
{{- end }}
{{- range $index, $certificate := .Values.certificates }}
- name: certificate-{{ $index }}
  secret:
    secretName: {{ include "patchgate.fullname" $ }}-{{ $certificate.name }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
