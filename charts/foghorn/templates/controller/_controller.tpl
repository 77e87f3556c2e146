{{/*
Parts of the controllers' pods that the jobs on their state have, too.
*/}}

{{- define "foghorn.controller.keepsState" -}}
{{- if eq (include "foghorn.engine" .) "embedded" -}}true{{- end -}}
{{- end -}}

{{- define "foghorn.controller.claim" -}}
{{- default (printf "%s-data" (include "foghorn.fullname" .)) ((.Values.controller).volume).existingClaim -}}
{{- end -}}

{{- define "foghorn.backup.claim" -}}
{{- default (printf "%s-backups" (include "foghorn.fullname" .)) ((.Values.backup).volume).existingClaim -}}
{{- end -}}

{{- define "foghorn.controller.image" -}}
{{- if eq (include "foghorn.mode" .) "box" -}}
{{- include "foghorn.imageOf" (dict "root" . "image" (.Values.cli).image) -}}
{{- else -}}
{{- include "foghorn.imageOf" (dict "root" . "image" (.Values.controller).image) -}}
{{- end -}}
{{- end -}}

{{/* Everything that a configuration of the controllers names, as mounts. */}}
{{- define "foghorn.controller.mounts" -}}
- name: config
  mountPath: /etc/foghorn/config
  readOnly: true
- name: data
  mountPath: /var/lib/foghorn
- name: tmp
  mountPath: /tmp
{{- if include "foghorn.hasPlugins" . }}
- name: plugins
  mountPath: /etc/foghorn/plugins
  readOnly: true
{{- end }}
{{- if include "foghorn.etcd.tls" . }}
- name: etcd
  mountPath: /etc/foghorn/etcd
  readOnly: true
{{- end }}
{{- if and (eq (include "foghorn.engine" .) "etcd") (((.Values.etcd).client).login).existingSecret }}
- name: etcd-login
  mountPath: /etc/foghorn/etcd-login
  readOnly: true
{{- end }}
{{- if eq (include "foghorn.trust.authority" .) "secret" }}
- name: authority
  mountPath: /etc/foghorn/authority
  readOnly: true
{{- else if eq (include "foghorn.trust.authority" .) "store" }}
- name: store-key
  mountPath: /etc/foghorn/store-key
  readOnly: true
{{- end }}
{{- if (.Values.firstRun).existingSecret }}
- name: first-run
  mountPath: /etc/foghorn/first-run
  readOnly: true
{{- end }}
{{- if and (.Values.backup).enabled (include "foghorn.controller.keepsState" .) }}
- name: backups
  mountPath: /var/lib/foghorn-backups
{{- end }}
{{- if and (eq (include "foghorn.mode" .) "box") ((.Values.agent).cold).existingSecret }}
- name: bucket
  mountPath: /etc/foghorn/bucket
  readOnly: true
{{- end }}
{{- end -}}

{{/* The volumes of these mounts. */}}
{{- define "foghorn.controller.volumes" -}}
- name: config
  configMap:
    name: {{ include "foghorn.controller.name" . }}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
- name: data
  {{- if include "foghorn.controller.keepsState" . }}
  persistentVolumeClaim:
    claimName: {{ include "foghorn.controller.claim" . }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ default "20Gi" ((.Values.controller).scratch).sizeLimit }}
  {{- end }}
{{- if include "foghorn.hasPlugins" . }}
- name: plugins
  configMap:
    name: {{ default (printf "%s-plugins" (include "foghorn.fullname" .)) (.Values.controller).existingPluginsConfigMap }}
{{- end }}
{{- if include "foghorn.etcd.tls" . }}
- name: etcd
  secret:
    secretName: {{ include "foghorn.etcd.clientSecret" . }}
    defaultMode: 0440
{{- end }}
{{- with (((.Values.etcd).client).login).existingSecret }}
{{- if eq (include "foghorn.engine" $) "etcd" }}
- name: etcd-login
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ default "password" $.Values.etcd.client.login.key }}
        path: password
{{- end }}
{{- end }}
{{- if eq (include "foghorn.trust.authority" .) "secret" }}
- name: authority
  secret:
    secretName: {{ include "foghorn.trust.secret" . }}
    defaultMode: 0440
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- else if eq (include "foghorn.trust.authority" .) "store" }}
- name: store-key
  secret:
    secretName: {{ ((.Values.trust).storeKey).existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ default "store-key" ((.Values.trust).storeKey).key }}
        path: key
{{- end }}
{{- with .Values.firstRun }}
{{- if .existingSecret }}
- name: first-run
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: 0440
    items:
      {{- with (.keys).apiToken }}
      - key: {{ . }}
        path: api-token
      {{- end }}
      {{- with (.keys).userToken }}
      - key: {{ . }}
        path: user-token
      {{- end }}
      {{- with (.keys).password }}
      - key: {{ . }}
        path: password
      {{- end }}
{{- end }}
{{- end }}
{{- if and (.Values.backup).enabled (include "foghorn.controller.keepsState" .) }}
- name: backups
  persistentVolumeClaim:
    claimName: {{ include "foghorn.backup.claim" . }}
{{- end }}
{{- if and (eq (include "foghorn.mode" .) "box") ((.Values.agent).cold).existingSecret }}
- name: bucket
  secret:
    secretName: {{ .Values.agent.cold.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ default "credentials" .Values.agent.cold.key }}
        path: credentials
{{- end }}
{{- end -}}

{{/* Source of a volume with the passphrase of state files. */}}
{{- define "foghorn.backup.passphrase" -}}
secret:
  secretName: {{ ((.Values.backup).passphrase).existingSecret }}
  defaultMode: 0440
  items:
    - key: {{ default "passphrase" ((.Values.backup).passphrase).key }}
      path: passphrase
{{- end -}}
