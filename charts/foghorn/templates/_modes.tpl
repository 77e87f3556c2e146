{{/*
What is installed, as words that templates compare. Each is a text, so that nothing is compared with nil.
*/}}

{{/* box, fleet or nodes */}}
{{- define "foghorn.mode" -}}
{{- default "box" .Values.mode -}}
{{- end -}}

{{/* embedded or etcd; nothing where there are no controllers */}}
{{- define "foghorn.engine" -}}
{{- $mode := include "foghorn.mode" . -}}
{{- if eq $mode "box" -}}
embedded
{{- else if eq $mode "fleet" -}}
{{- default "etcd" (.Values.store).engine -}}
{{- end -}}
{{- end -}}

{{/* "true" where there are controllers */}}
{{- define "foghorn.hasControllers" -}}
{{- if ne (include "foghorn.mode" .) "nodes" -}}true{{- end -}}
{{- end -}}

{{/* "true" where the members of etcd are the chart's own */}}
{{- define "foghorn.hasEtcd" -}}
{{- if and (eq (include "foghorn.engine" .) "etcd") (not (.Values.etcd).endpoints) -}}true{{- end -}}
{{- end -}}

{{/* How many controllers there are, when none is stopped for maintenance. */}}
{{- define "foghorn.controller.replicas" -}}
{{- $default := ternary 3 1 (eq (include "foghorn.engine" .) "etcd") -}}
{{- default $default (.Values.controller).replicas -}}
{{- end -}}

{{/* none, daemonSet or statefulSet */}}
{{- define "foghorn.agent.mode" -}}
{{- default "none" (.Values.agent).mode -}}
{{- end -}}

{{/* How agents come in: serviceAccount or joinToken */}}
{{- define "foghorn.agent.enrolment" -}}
{{- if ((.Values.agent).joinToken).existingSecret -}}joinToken{{- else -}}serviceAccount{{- end -}}
{{- end -}}

{{/* "true" where the controllers ask the cluster whose a service-account token is */}}
{{- define "foghorn.reviewsTokens" -}}
{{- if include "foghorn.hasControllers" . -}}
{{- $own := and (ne (include "foghorn.agent.mode" .) "none") (eq (include "foghorn.agent.enrolment" .) "serviceAccount") -}}
{{- if or $own (.Values.enrolment).allowed -}}true{{- end -}}
{{- end -}}
{{- end -}}
