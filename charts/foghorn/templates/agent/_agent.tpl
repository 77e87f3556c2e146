{{/*
The pod of a storage node, of a DaemonSet or of a StatefulSet.
*/}}

{{/* "true" where agents use the network of their nodes */}}
{{- define "foghorn.agent.onHost" -}}
{{- if and (eq (include "foghorn.agent.mode" .) "daemonSet") (ne (toString ((.Values.agent).daemonSet).hostNetwork) "false") -}}true{{- end -}}
{{- end -}}

{{/* HOST:PORT at which machines reach an agent, with variables of its pod; nothing: all its addresses */}}
{{- define "foghorn.agent.advertise" -}}
{{- $given := (.Values.agent).advertise -}}
{{- if $given -}}
{{- $given -}}
{{- else if include "foghorn.agent.onHost" . -}}
$(HOST_IP):7472
{{- else if (((.Values.agent).statefulSet).podServices).enabled -}}
$(POD_NAME).{{ include "foghorn.agent.namespace" . }}.svc.{{ default "cluster.local" .Values.clusterDomain }}:7472
{{- end -}}
{{- end -}}

{{/* Whom an agent trusts that enrols by its service account: a source of a volume, or nothing where a fingerprint says it. */}}
{{- define "foghorn.agent.caSource" -}}
{{- include "foghorn.trust.caSource" (dict "root" . "namespace" (include "foghorn.agent.namespace" .)) -}}
{{- end -}}

{{/* What kubelet asks. It lives on the node, whose loopback is the agent's on its network. Argument: dict "root" $ "path" PATH */}}
{{- define "foghorn.agent.asks" -}}
httpGet:
  path: {{ .path }}
  port: {{ include "foghorn.agent.healthPort" .root }}
  {{- if include "foghorn.agent.onHost" .root }}
  host: 127.0.0.1
  {{- end }}
{{- end -}}

{{- define "foghorn.agent.podSpec" -}}
{{- $values := default dict .Values.agent -}}
{{- $mode := include "foghorn.agent.mode" . -}}
{{- $daemon := default dict $values.daemonSet -}}
{{- $isDaemon := eq $mode "daemonSet" -}}
{{- $enrolment := include "foghorn.agent.enrolment" . -}}
{{- $ca := include "foghorn.agent.caSource" . -}}
{{- $effective := deepCopy $values -}}
{{- if $isDaemon -}}
{{- $_ := set $effective "nodeSelector" (merge (dict) (default dict $values.nodeSelector) (default dict $daemon.nodeSelector)) -}}
{{- if and $daemon.runAsRoot (not $values.podSecurityContext) -}}
{{- $_ := set $effective "podSecurityContext" (dict "runAsNonRoot" false "runAsUser" 0 "runAsGroup" 0 "seccompProfile" (dict "type" "RuntimeDefault")) -}}
{{- end -}}
{{- end -}}
{{- $scope := dict "root" . "component" "agent" "values" $effective "namespace" (include "foghorn.agent.namespace" .) -}}
{{ include "foghorn.podTop" $scope }}
{{- if include "foghorn.agent.onHost" . }}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
{{- end }}
{{- if not $isDaemon }}
{{ include "foghorn.spread" $scope }}
{{- end }}
terminationGracePeriodSeconds: 30
{{- with $values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: agent
    {{- include "foghorn.imageOf" (dict "root" . "image" $values.image) | nindent 4 }}
    args:
      - run
      - --config
      - /etc/foghorn/config/agent.toml
    env:
      {{- include "foghorn.commonEnv" $scope | nindent 6 }}
      - name: NODE_NAME
        valueFrom:
          fieldRef:
            fieldPath: spec.nodeName
      - name: HOST_IP
        valueFrom:
          fieldRef:
            fieldPath: status.hostIP
      - name: POD_IP
        valueFrom:
          fieldRef:
            fieldPath: status.podIP
      - name: FOGHORN_AGENT_NAME
        value: {{ ternary "$(NODE_NAME)" "$(POD_NAME)" $isDaemon | quote }}
      {{- with include "foghorn.agent.advertise" . }}
      - name: FOGHORN_AGENT_ADVERTISE
        value: {{ . | quote }}
      {{- end }}
      {{- with $values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $values.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - name: quic
        containerPort: 7472
        protocol: UDP
    {{- with $values.startupProbe }}
    startupProbe:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    livenessProbe:
      {{- if $values.livenessProbe }}
      {{- toYaml $values.livenessProbe | nindent 6 }}
      {{- else }}
      {{- include "foghorn.agent.asks" (dict "root" . "path" "/healthz") | nindent 6 }}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
      {{- end }}
    readinessProbe:
      {{- if $values.readinessProbe }}
      {{- toYaml $values.readinessProbe | nindent 6 }}
      {{- else }}
      {{- include "foghorn.agent.asks" (dict "root" . "path" "/readyz") | nindent 6 }}
      periodSeconds: 5
      timeoutSeconds: 4
      failureThreshold: 3
      {{- end }}
    {{- with $values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- include "foghorn.securityContext" $values | nindent 4 }}
    volumeMounts:
      - name: config
        mountPath: /etc/foghorn/config
        readOnly: true
      - name: data
        mountPath: /var/lib/foghorn
      - name: tmp
        mountPath: /tmp
      {{- if eq $enrolment "serviceAccount" }}
      - name: enrolment
        mountPath: /var/run/secrets/foghorn
        readOnly: true
      {{- if $ca }}
      - name: ca
        mountPath: /etc/foghorn/ca
        readOnly: true
      {{- end }}
      {{- else }}
      - name: join-token
        mountPath: /etc/foghorn/join
        readOnly: true
      {{- end }}
      {{- if ($values.cold).existingSecret }}
      - name: bucket
        mountPath: /etc/foghorn/bucket
        readOnly: true
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- with $values.sidecars }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "foghorn.agent.name" . }}
  - name: tmp
    emptyDir:
      sizeLimit: 1Gi
  {{- if $isDaemon }}
  - name: data
    hostPath:
      path: {{ ($daemon.hostPath).path }}
      type: {{ default "Directory" ($daemon.hostPath).type }}
  {{- end }}
  {{- if eq $enrolment "serviceAccount" }}
  - name: enrolment
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken:
            path: token
            audience: {{ default "foghorn" (.Values.enrolment).audience }}
            expirationSeconds: 3600
  {{- with $ca }}
  - name: ca
    {{- . | nindent 4 }}
  {{- end }}
  {{- else }}
  # A node that has joined does not need it any more.
  - name: join-token
    secret:
      secretName: {{ $values.joinToken.existingSecret }}
      defaultMode: 0440
      optional: true
      items:
        - key: {{ default "token" $values.joinToken.key }}
          path: token
  {{- end }}
  {{- if ($values.cold).existingSecret }}
  - name: bucket
    secret:
      secretName: {{ $values.cold.existingSecret }}
      defaultMode: 0440
      items:
        - key: {{ default "credentials" $values.cold.key }}
          path: credentials
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The template of the pods, for both kinds. */}}
{{- define "foghorn.agent.template" -}}
metadata:
  labels:
    {{- include "foghorn.podLabels" (dict "root" . "component" "agent" "values" .Values.agent) | nindent 4 }}
  annotations:
    checksum/config: {{ include "foghorn.agent.toml" . | sha256sum }}
    {{- with (.Values.agent).podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "foghorn.agent.podSpec" . | nindent 2 }}
{{- end -}}
