{{/*
Names and labels. Labels of selectors never change: neither a version nor the chart's is among them.
*/}}

{{- define "foghorn.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of all names; short enough for the longest suffix on a CronJob. */}}
{{- define "foghorn.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "foghorn.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "foghorn.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Argument: dict "root" $ "component" NAME */}}
{{- define "foghorn.selectorLabels" -}}
app.kubernetes.io/name: {{ include "foghorn.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "foghorn.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") | trunc 63 | trimSuffix "-" }}
{{ include "foghorn.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: foghorn
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of pods: those of the selector, so that a new version of the chart alone restarts nothing. Argument: also "values" */}}
{{- define "foghorn.podLabels" -}}
{{ include "foghorn.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with .values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The head of an object. Argument: dict "root" $ "component" NAME "name" NAME, and perhaps "namespace", "annotations", "labels" */}}
{{- define "foghorn.metadata" -}}
name: {{ .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels:
  {{- include "foghorn.labels" (dict "root" .root "component" .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (default dict .annotations) (default dict .root.Values.commonAnnotations) }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same for what belongs to no namespace, without annotations of its own. */}}
{{- define "foghorn.clusterMetadata" -}}
name: {{ .name }}
labels:
  {{- include "foghorn.labels" (dict "root" .root "component" .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "foghorn.controller.name" -}}
{{- printf "%s-controller" (include "foghorn.fullname" .) -}}
{{- end -}}

{{- define "foghorn.agent.name" -}}
{{- printf "%s-agent" (include "foghorn.fullname" .) -}}
{{- end -}}

{{- define "foghorn.etcd.name" -}}
{{- printf "%s-etcd" (include "foghorn.fullname" .) -}}
{{- end -}}

{{/* Name of a Service as others in the cluster resolve it. Argument: dict "root" $ "service" NAME */}}
{{- define "foghorn.dns" -}}
{{- printf "%s.%s.svc.%s" .service .root.Release.Namespace (default "cluster.local" .root.Values.clusterDomain) -}}
{{- end -}}

{{/* Namespace of the agents: a DaemonSet uses the network of its nodes, which `baseline` forbids, so it has one of its own. */}}
{{- define "foghorn.agent.namespace" -}}
{{- $given := ((.Values.agent).namespace).name -}}
{{- if $given -}}
{{- $given -}}
{{- else if eq (include "foghorn.agent.mode" .) "daemonSet" -}}
{{- printf "%s-agents" .Release.Namespace | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{/* Name of a service account. Argument: dict "root" $ "component" NAME "values" (values of the component) */}}
{{- define "foghorn.serviceAccount" -}}
{{- default (printf "%s-%s" (include "foghorn.fullname" .root) .component) ((.values).serviceAccount).name -}}
{{- end -}}
