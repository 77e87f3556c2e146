{{/*
What pods have in common. All of them but a DaemonSet of agents pass the Pod Security level `restricted`.
*/}}

{{- define "foghorn.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "foghorn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{/* The `securityContext` of a pod: that of values, or the default. Argument: values of the component */}}
{{- define "foghorn.podSecurityContext" -}}
securityContext:
{{- if (.).podSecurityContext }}
  {{- toYaml .podSecurityContext | nindent 2 }}
{{- else }}
  {{- include "foghorn.podSecurity" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "foghorn.securityContext" -}}
securityContext:
{{- if (.).securityContext }}
  {{- toYaml .securityContext | nindent 2 }}
{{- else }}
  {{- include "foghorn.containerSecurity" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Where a pod runs and as whom. Argument: dict "root" $ "component" NAME "values" (values of the component)
enableServiceLinks: a variable that Kubernetes makes from the name of a Service could look like a setting of the program.
*/}}
{{- define "foghorn.podTop" -}}
serviceAccountName: {{ include "foghorn.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{ include "foghorn.podSecurityContext" .values }}
{{- with include "foghorn.pullSecrets" .root }}
{{ . }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pods of a component on different nodes and in different zones, as far as there are some. Argument: as above, and "byTemplate" true for a Deployment */}}
{{- define "foghorn.spread" -}}
{{- if .values.topologySpreadConstraints -}}
topologySpreadConstraints:
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else -}}
topologySpreadConstraints:
  {{- $scope := . }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "foghorn.selectorLabels" $scope | nindent 8 }}
    {{- if $scope.byTemplate }}
    matchLabelKeys:
      - pod-template-hash
    {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Variables that all programs have: who they are, logs, traces. Secrets are never variables. Argument: dict "root" $, and perhaps "namespace" of the pod */}}
{{- define "foghorn.commonEnv" -}}
{{- $logs := default dict .root.Values.logs -}}
{{- $otlp := default dict (.root.Values.telemetry).otlp -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: FOGHORN_LOG_FORMAT
  value: {{ default "json" $logs.format | quote }}
{{- with $logs.filter }}
- name: FOGHORN_LOG
  value: {{ . | quote }}
{{- end }}
{{- if $otlp.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $otlp.endpoint | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: "k8s.namespace.name={{ default .root.Release.Namespace .namespace }},k8s.pod.name=$(POD_NAME)"
{{- with $otlp.sampler }}
- name: OTEL_TRACES_SAMPLER
  value: {{ . | quote }}
{{- end }}
{{- with $otlp.samplerArg }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The service-account token and the authority of the API server, for those pods alone that review tokens. */}}
{{- define "foghorn.apiTokenVolume" -}}
name: api-token
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
{{- end -}}

{{/* A PersistentVolumeClaim of its own, which stays when the release is removed and can be enlarged.
Argument: dict "root" $ "component" NAME "name" NAME "volume" (size, storageClass, accessModes, annotations) */}}
{{- define "foghorn.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- $annotations := merge (dict "helm.sh/resource-policy" "keep") (default dict .volume.annotations) }}
  {{- include "foghorn.metadata" (dict "root" .root "component" .component "name" .name "namespace" .namespace "annotations" $annotations) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml (default (list "ReadWriteOnce") .volume.accessModes) | nindent 4 }}
  {{- with .volume.storageClass }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  {{- with .volume.volumeName }}
  volumeName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .volume.size | quote }}
{{- end -}}

{{- define "foghorn.serviceAccountObject" -}}
{{- $account := default dict .values.serviceAccount -}}
{{- if ne (toString $account.create) "false" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "foghorn.metadata" (dict "root" .root "component" .component "name" (include "foghorn.serviceAccount" .) "namespace" .namespace "annotations" $account.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/* Argument: dict "root" $ "component" NAME "name" NAME "replicas" NUMBER "budget" VALUES */}}
{{- define "foghorn.budget" -}}
{{- $budget := default dict .budget -}}
{{- if and (ne (toString $budget.enabled) "false") (gt (int .replicas) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "foghorn.metadata" (dict "root" .root "component" .component "name" .name "namespace" .namespace) | nindent 2 }}
spec:
  maxUnavailable: {{ default 1 $budget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "foghorn.selectorLabels" (dict "root" .root "component" .component) | nindent 6 }}
{{- end -}}
{{- end -}}
