{{/*
A Service for one protocol, so that every load balancer takes it.
Argument: dict "root" $ "component" NAME "name" NAME "port" NUMBER "portName" NAME "protocol" TCP|UDP "values" (of the Service), and perhaps "selector" (further labels)
and "notReadyToo" true: a storage node that has lost its controllers goes on with the machines that it serves.
externalTrafficPolicy: the address of a machine says to which site it belongs, so a load balancer keeps it.
*/}}
{{- define "foghorn.service" -}}
{{- $values := default dict .values -}}
{{- $type := default "ClusterIP" $values.type -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "foghorn.metadata" (dict "root" .root "component" .component "name" .name "namespace" .namespace "annotations" $values.annotations "labels" $values.labels) | nindent 2 }}
spec:
  type: {{ $type }}
  {{- with $values.clusterIP }}
  clusterIP: {{ . }}
  {{- end }}
  {{- with $values.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
  {{- end }}
  {{- if ne $type "ClusterIP" }}
  externalTrafficPolicy: {{ default (ternary "Local" "Cluster" (eq $type "LoadBalancer")) $values.externalTrafficPolicy }}
  {{- end }}
  {{- if eq $type "LoadBalancer" }}
  {{- with $values.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with $values.loadBalancerIP }}
  loadBalancerIP: {{ . }}
  {{- end }}
  {{- with $values.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if .notReadyToo }}
  publishNotReadyAddresses: true
  {{- end }}
  selector:
    {{- include "foghorn.selectorLabels" . | nindent 4 }}
    {{- with .selector }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: {{ .portName }}
      port: {{ .port }}
      targetPort: {{ .portName }}
      protocol: {{ .protocol }}
      {{- if and $values.nodePort (ne $type "ClusterIP") }}
      nodePort: {{ $values.nodePort }}
      {{- end }}
{{- end -}}
