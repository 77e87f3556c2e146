{{/*
etcd: the chart's own members, or those of others.
*/}}

{{- define "foghorn.etcd.replicas" -}}
{{- default 3 (.Values.etcd).replicas -}}
{{- end -}}

{{/* "true" where connections to the members are encrypted */}}
{{- define "foghorn.etcd.tls" -}}
{{- if include "foghorn.hasEtcd" . -}}
{{- if ne (toString ((.Values.etcd).tls).enabled) "false" -}}true{{- end -}}
{{- else if (((.Values.etcd).client).tls).existingSecret -}}
true
{{- end -}}
{{- end -}}

{{- define "foghorn.etcd.scheme" -}}
{{- ternary "https" "http" (eq (include "foghorn.etcd.tls" .) "true") -}}
{{- end -}}

{{/* Host of one member. Argument: dict "root" $ "member" NUMBER (or $(POD_NAME)) */}}
{{- define "foghorn.etcd.host" -}}
{{- $name := include "foghorn.etcd.name" .root -}}
{{- printf "%s.%s" .member (include "foghorn.dns" (dict "root" .root "service" $name)) -}}
{{- end -}}

{{/* All endpoints, as a list in JSON. */}}
{{- define "foghorn.etcd.endpoints" -}}
{{- $root := . -}}
{{- $all := list -}}
{{- if include "foghorn.hasEtcd" . -}}
{{- range $i := until (include "foghorn.etcd.replicas" . | int) -}}
{{- $member := printf "%s-%d" (include "foghorn.etcd.name" $root) $i -}}
{{- $all = append $all (printf "%s://%s:2379" (include "foghorn.etcd.scheme" $root) (include "foghorn.etcd.host" (dict "root" $root "member" $member))) -}}
{{- end -}}
{{- else -}}
{{- $all = (.Values.etcd).endpoints -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{/* What every member has to know of all: NAME=URL,… */}}
{{- define "foghorn.etcd.initialCluster" -}}
{{- $root := . -}}
{{- $all := list -}}
{{- range $i := until (include "foghorn.etcd.replicas" . | int) -}}
{{- $member := printf "%s-%d" (include "foghorn.etcd.name" $root) $i -}}
{{- $all = append $all (printf "%s=%s://%s:2380" $member (include "foghorn.etcd.scheme" $root) (include "foghorn.etcd.host" (dict "root" $root "member" $member))) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* Secret of the members: ca.crt, tls.crt, tls.key */}}
{{- define "foghorn.etcd.serverSecret" -}}
{{- default (printf "%s-server" (include "foghorn.etcd.name" .)) ((.Values.etcd).tls).existingSecret -}}
{{- end -}}

{{/* Secret of those who call the members: ca.crt, tls.crt, tls.key */}}
{{- define "foghorn.etcd.clientSecret" -}}
{{- if include "foghorn.hasEtcd" . -}}
{{- default (printf "%s-client" (include "foghorn.etcd.name" .)) ((.Values.etcd).tls).existingClientSecret -}}
{{- else -}}
{{- (((.Values.etcd).client).tls).existingSecret -}}
{{- end -}}
{{- end -}}

{{/* "true" where controllers show a certificate to etcd */}}
{{- define "foghorn.etcd.hasClientCertificate" -}}
{{- if or (include "foghorn.hasEtcd" .) (ne (toString (((.Values.etcd).client).tls).clientCertificate) "false") -}}true{{- end -}}
{{- end -}}

{{/* Flags of etcdctl that say where the members are and who calls. */}}
{{- define "foghorn.etcd.ctlFlags" -}}
- --endpoints={{ join "," (include "foghorn.etcd.endpoints" . | fromJsonArray) }}
{{- if include "foghorn.etcd.tls" . }}
- --cacert=/etc/foghorn/etcd/ca.crt
- --cert=/etc/foghorn/etcd/tls.crt
- --key=/etc/foghorn/etcd/tls.key
{{- end }}
{{- end -}}

{{/* Name (CN) that peers must have: whoever only calls the members has another one. */}}
{{- define "foghorn.etcd.peerName" -}}
{{- if (((.Values.etcd).tls).certManager).enabled -}}
foghorn-etcd-member
{{- else -}}
{{- ((.Values.etcd).tls).peerName -}}
{{- end -}}
{{- end -}}
