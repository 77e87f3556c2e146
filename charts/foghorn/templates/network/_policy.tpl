{{/*
Rules of the NetworkPolicies. What is not allowed here is refused: `default-deny` selects every pod of the release.
*/}}

{{/* Port of a URL or of HOST:PORT. Argument: dict "url" URL "default" NUMBER */}}
{{- define "foghorn.portOf" -}}
{{- $host := regexReplaceAll "/.*$" (regexReplaceAll "^[a-z]+://" .url "") "" -}}
{{- default .default (regexFind ":[0-9]+$" $host | trimPrefix ":") -}}
{{- end -}}

{{- define "foghorn.policy.dns" -}}
{{- $dns := default dict (.Values.networkPolicy).dns -}}
- ports:
    {{- range default (list 53) $dns.ports }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with $dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Pods of the release in its own namespace, as a peer. Argument: dict "root" $ "component" NAME */}}
{{- define "foghorn.policy.pods" -}}
podSelector:
  matchLabels:
    {{- include "foghorn.selectorLabels" . | nindent 4 }}
{{- end -}}

{{/* One rule with ports and perhaps peers. Argument: dict "ports" LIST "protocol" TCP|UDP "direction" to|from "peers" LIST */}}
{{- define "foghorn.policy.rule" -}}
{{- $protocol := .protocol -}}
- ports:
    {{- range .ports | uniq }}
    - port: {{ int . }}
      protocol: {{ $protocol }}
    {{- end }}
  {{- with .peers }}
  {{ $.direction }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* To the members of etcd. */}}
{{- define "foghorn.policy.etcd" -}}
{{- if include "foghorn.hasEtcd" . -}}
- ports:
    - port: 2379
      protocol: TCP
  to:
    - {{ include "foghorn.policy.pods" (dict "root" . "component" "etcd") | nindent 6 | trim }}
{{- else -}}
{{- $ports := list -}}
{{- range (.Values.etcd).endpoints -}}
{{- $ports = append $ports (include "foghorn.portOf" (dict "url" . "default" "2379")) -}}
{{- end -}}
{{- include "foghorn.policy.rule" (dict "ports" $ports "protocol" "TCP" "direction" "to" "peers" (.Values.networkPolicy).etcdTo) -}}
{{- end -}}
{{- end -}}

{{/* To the controllers. Argument: dict "root" $ "namespace" (of those who call) */}}
{{- define "foghorn.policy.controllers" -}}
{{- $root := .root -}}
{{- $url := ($root.Values.agent).controllerUrl -}}
{{- if or $url (not (include "foghorn.hasControllers" $root)) -}}
{{- $ports := list (include "foghorn.portOf" (dict "url" (default "" $url) "default" "443")) "8444" -}}
{{- include "foghorn.policy.rule" (dict "ports" $ports "protocol" "TCP" "direction" "to" "peers" ($root.Values.networkPolicy).controllersTo) -}}
{{- else -}}
- ports:
    - port: 8443
      protocol: TCP
    - port: 8444
      protocol: TCP
  to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ $root.Release.Namespace }}
      {{ include "foghorn.policy.pods" (dict "root" $root "component" "controller") | nindent 6 | trim }}
{{- end -}}
{{- end -}}

{{/* To a collector of traces and to the bucket of cold copies, where there are such. Argument: dict "root" $ "bucket" true|false */}}
{{- define "foghorn.policy.outside" -}}
{{- $root := .root -}}
{{- with (($root.Values.telemetry).otlp).endpoint }}
{{ include "foghorn.policy.rule" (dict "ports" (list (include "foghorn.portOf" (dict "url" . "default" "4317"))) "protocol" "TCP" "direction" "to" "peers" ($root.Values.networkPolicy).telemetryTo) }}
{{- end }}
{{- $cold := default dict (($root.Values.agent).config).cold }}
{{- if and .bucket $cold.bucket }}
{{ include "foghorn.policy.rule" (dict "ports" (list (include "foghorn.portOf" (dict "url" (default "" $cold.endpoint) "default" "443"))) "protocol" "TCP" "direction" "to" "peers" ($root.Values.networkPolicy).bucketTo) }}
{{- end }}
{{- end -}}

{{/* "true" where agents or controllers outside the release's pods come to the link. */}}
{{- define "foghorn.policy.linkIsOpen" -}}
{{- $type := default "ClusterIP" ((.Values.service).link).type -}}
{{- $byRoute := ((.Values.gateway).linkRoute).enabled -}}
{{- if or (ne $type "ClusterIP") $byRoute (eq (include "foghorn.agent.mode" .) "daemonSet") (.Values.enrolment).allowed -}}true{{- end -}}
{{- end -}}
