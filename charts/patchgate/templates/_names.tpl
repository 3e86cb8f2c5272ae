{{/* Names, labels and the image: what every object has. */}}

{{- define "patchgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* 52 characters, so that what the chart and Kubernetes append to it still makes a label's 63. */}}
{{- define "patchgate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "patchgate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end }}

{{- define "patchgate.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* Never changed: a Deployment's selector cannot be. */}}
{{- define "patchgate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "patchgate.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: gateway
{{- end }}

{{/* Of `component`, in the release of `root`. */}}
{{- define "patchgate.labelsOf" -}}
helm.sh/chart: {{ include "patchgate.chart" .root }}
app.kubernetes.io/name: {{ include "patchgate.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: patchgate
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "patchgate.labels" -}}
{{- include "patchgate.labelsOf" (dict "root" . "component" "gateway") -}}
{{- end }}

{{/* Name, namespace and labels of an object; `suffix` if it is one of several of its kind. */}}
{{- define "patchgate.metadata" -}}
name: {{ printf "%s%s" (include "patchgate.fullname" .root) (.suffix | empty | ternary "" (printf "-%s" .suffix)) | quote }}
namespace: {{ include "patchgate.namespace" .root | quote }}
labels:
  {{- include "patchgate.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "patchgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "patchgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "patchgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}
