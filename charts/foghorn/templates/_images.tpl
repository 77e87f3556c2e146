{{/*
The only place where the name of an image is made. Argument: dict "root" $ "image" (values of the image), and perhaps "tag" as its default.
The registry is, by growing strength: image.registry, that of the one image, global.imageRegistry.
*/}}
{{- define "foghorn.image" -}}
{{- $common := default dict .root.Values.image -}}
{{- $global := default dict .root.Values.global -}}
{{- $registry := default (default $common.registry (.image).registry) $global.imageRegistry -}}
{{- $tag := default (default (default .root.Chart.AppVersion $common.tag) .tag) (.image).tag -}}
{{- if $registry -}}{{ trimSuffix "/" $registry }}/{{- end -}}
{{- (.image).repository -}}
{{- if (.image).digest -}}@{{ (.image).digest }}{{- else -}}:{{ $tag }}{{- end -}}
{{- end -}}

{{/* The image and when it is pulled, as two lines of a container. */}}
{{- define "foghorn.imageOf" -}}
image: {{ include "foghorn.image" . | quote }}
{{- with default (.root.Values.image).pullPolicy (.image).pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/* Secrets for pulling: of the chart and of a parent's `global`, each a name or an object with one. */}}
{{- define "foghorn.pullSecrets" -}}
{{- $names := list -}}
{{- range concat (default list (.Values.image).pullSecrets) (default list (.Values.global).imagePullSecrets) -}}
{{- if kindIs "map" . -}}
{{- $names = append $names .name -}}
{{- else -}}
{{- $names = append $names . -}}
{{- end -}}
{{- end -}}
{{- with $names | uniq -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}
