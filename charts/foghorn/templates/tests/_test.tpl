{{/*
`helm test`: a pod that is imaged through the installed service.
*/}}

{{- define "foghorn.test.secret" -}}
{{- default (.Values.firstRun).existingSecret ((.Values.test).credentials).existingSecret -}}
{{- end -}}

{{/* Subpath of the authority's certificate in the controller's volume, where nobody else knows it. */}}
{{- define "foghorn.test.caInVolume" -}}
{{- $source := include "foghorn.trust.caSource" (dict "root" . "namespace" .Release.Namespace) -}}
{{- if and (not $source) (eq (include "foghorn.trust.authority" .) "own") -}}
{{- ternary "controller/ca/ca.pem" "ca/ca.pem" (eq (include "foghorn.mode" .) "box") -}}
{{- end -}}
{{- end -}}

{{/* "true" where the test knows whom to trust, and who it is */}}
{{- define "foghorn.test.isThere" -}}
{{- if and (ne (toString (.Values.test).enabled) "false") (include "foghorn.hasControllers" .) (include "foghorn.test.secret" .) (not (.Values.maintenance).enabled) -}}
{{- if or (include "foghorn.test.caInVolume" .) (include "foghorn.trust.caSource" (dict "root" . "namespace" .Release.Namespace)) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* The container. Argument: dict "root" $ "args" LIST "secret" NAME, and perhaps "namespace" of the pod */}}
{{- define "foghorn.test.container" -}}
{{- $values := default dict .root.Values.test -}}
{{- $keys := default dict ($values.credentials).keys -}}
name: selftest
{{ include "foghorn.imageOf" (dict "root" .root "image" (.root.Values.cli).image) }}
args:
  - selftest
  - --work-dir
  - /work
  - --content
  - {{ default 64 $values.contentMiB | int | quote }}
  - --timeout
  - {{ default "9m" $values.timeout }}
  {{- range .args }}
  - {{ . }}
  {{- end }}
env:
  {{- include "foghorn.commonEnv" . | nindent 2 }}
  - name: FOGHORN_SERVER
    value: {{ include "foghorn.url" .root }}
  - name: FOGHORN_CA
    value: /etc/foghorn/ca/ca.pem
  - name: FOGHORN_API_TOKEN_FILE
    value: /etc/foghorn/tokens/{{ default "api-token" $keys.apiToken }}
  - name: FOGHORN_USER_TOKEN_FILE
    value: /etc/foghorn/tokens/{{ default "user-token" $keys.userToken }}
{{- with $values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ include "foghorn.securityContext" $values }}
{{- end -}}

{{/* The Secret with the tokens in the agents' namespace. */}}
{{- define "foghorn.test.multicastSecret" -}}
{{- default (include "foghorn.test.secret" .) ((.Values.test).multicast).existingSecret -}}
{{- end -}}
