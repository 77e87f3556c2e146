{{/*
Pods of jobs: they end by themselves and touch nothing but the state. Argument: dict "root" $ "component" NAME "values" (of the job)
*/}}
{{- define "foghorn.jobPod" -}}
restartPolicy: Never
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
