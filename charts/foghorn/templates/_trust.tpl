{{/*
Where the certificate authority of the controllers is, and how agents and tests know its certificate.
*/}}

{{/* own (in the data directory), store (in etcd, encrypted) or secret */}}
{{- define "foghorn.trust.authority" -}}
{{- if or (.Values.trust).existingSecret ((.Values.trust).certManager).enabled -}}
secret
{{- else if eq (include "foghorn.engine" .) "etcd" -}}
store
{{- else -}}
own
{{- end -}}
{{- end -}}

{{/* The Secret with the authority's tls.crt and tls.key. */}}
{{- define "foghorn.trust.secret" -}}
{{- default (printf "%s-authority" (include "foghorn.fullname" .)) (.Values.trust).existingSecret -}}
{{- end -}}

{{/*
Source of a volume with the authority's certificate as ca.pem, for a namespace; empty where nobody knows it.
Argument: dict "root" $ "namespace" NAMESPACE
*/}}
{{- define "foghorn.trust.caSource" -}}
{{- $root := .root -}}
{{- $ca := default dict (.root.Values.trust).ca -}}
{{- if $ca.pem -}}
configMap:
  name: {{ include "foghorn.fullname" $root }}-ca
  items:
    - key: ca.pem
      path: ca.pem
{{- else if ($ca.existingConfigMap).name -}}
configMap:
  name: {{ $ca.existingConfigMap.name }}
  items:
    - key: {{ default "ca.pem" $ca.existingConfigMap.key }}
      path: ca.pem
{{- else if ($ca.existingSecret).name -}}
secret:
  secretName: {{ $ca.existingSecret.name }}
  defaultMode: 0440
  items:
    - key: {{ default "tls.crt" $ca.existingSecret.key }}
      path: ca.pem
{{- else if and (include "foghorn.hasControllers" $root) (eq (include "foghorn.trust.authority" $root) "secret") (eq .namespace $root.Release.Namespace) -}}
secret:
  secretName: {{ include "foghorn.trust.secret" $root }}
  defaultMode: 0440
  items:
    - key: tls.crt
      path: ca.pem
{{- end -}}
{{- end -}}
