{{/*
Pods of jobs: they end by themselves and touch nothing but the state. Argument: dict "root" $ "component" NAME "values" (of the job) "restart" (Never unless given)
*/}}
{{- define "foghorn.jobPod" -}}
restartPolicy: {{ default "Never" .restart }}
{{ include "foghorn.podTop" . }}
{{- end -}}

{{/* Head of a CronJob's spec. Argument: dict "values" (of the job) */}}
{{- define "foghorn.cron" -}}
schedule: {{ .values.schedule | quote }}
{{- with .values.timeZone }}
timeZone: {{ . }}
{{- end }}
suspend: {{ default false .values.suspend }}
concurrencyPolicy: Forbid
startingDeadlineSeconds: 3600
successfulJobsHistoryLimit: 1
failedJobsHistoryLimit: 3
{{- end -}}

{{/*
A pod that writes the whole state and the certificate authority into one encrypted file. It is read from etcd; no controller is asked.
Argument: dict "root" $ "restart" (as for foghorn.jobPod)
*/}}
{{- define "foghorn.backup.pod" -}}
{{- $restart := .restart }}
{{- with .root }}
{{- $values := default dict .Values.backup }}
{{- $account := include "foghorn.serviceAccount" (dict "root" . "component" "controller" "values" .Values.controller) }}
{{- $values = merge (dict "serviceAccount" (dict "name" $account)) (deepCopy $values) }}
{{- $scope := dict "root" . "component" "backup" "values" $values "restart" $restart }}
metadata:
  labels:
    {{- include "foghorn.podLabels" $scope | nindent 4 }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "foghorn.jobPod" $scope | nindent 2 }}
  containers:
    - name: export
      {{- include "foghorn.imageOf" (dict "root" . "image" .Values.controller.image) | nindent 6 }}
      args:
        - state
        - export
        # Into a new file, which is named after the time; the oldest of such files go.
        - /var/lib/foghorn-backups
        - --keep
        - {{ default 14 $values.keep | int | quote }}
        - --passphrase-file
        - /etc/foghorn/passphrase/passphrase
        - --config
        - /etc/foghorn/config/controller.toml
      env:
        {{- include "foghorn.commonEnv" $scope | nindent 8 }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "foghorn.securityContext" $values | nindent 6 }}
      volumeMounts:
        {{- include "foghorn.controller.mounts" . | nindent 8 }}
        - name: backups
          mountPath: /var/lib/foghorn-backups
        - name: passphrase
          mountPath: /etc/foghorn/passphrase
          readOnly: true
  volumes:
    {{- include "foghorn.controller.volumes" . | nindent 4 }}
    - name: backups
      persistentVolumeClaim:
        claimName: {{ include "foghorn.backup.claim" . }}
    - name: passphrase
      {{- include "foghorn.backup.passphrase" . | nindent 6 }}
{{- end }}
{{- end -}}
