{{/*
TOML from values. Helm's toToml writes whole numbers as floats, which the programs refuse; JSON's strings, numbers and lists are TOML's.
*/}}

{{/* A value in one line; a map becomes an inline table. */}}
{{- define "foghorn.tomlValue" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s = %s" $key (include "foghorn.tomlValue" $value)) -}}
{{- end -}}
{ {{ join ", " $pairs }} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "foghorn.tomlValue" .) -}}
{{- end -}}
[{{ join ", " $items }}]
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* A table and those below it. Argument: dict "path" "" (of the table) "table" MAP */}}
{{- define "foghorn.toml" -}}
{{- $path := .path -}}
{{- $scalars := list -}}
{{- $tables := list -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $inner := ternary $key (printf "%s.%s" $path $key) (eq $path "") -}}
{{- $text := include "foghorn.toml" (dict "path" $inner "table" $value) -}}
{{- if $text -}}
{{- $tables = append $tables $text -}}
{{- end -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $scalars = append $scalars (printf "%s = %s" $key (include "foghorn.tomlValue" $value)) -}}
{{- end -}}
{{- end -}}
{{- $parts := list -}}
{{- if $scalars -}}
{{- if $path -}}
{{- $scalars = prepend $scalars (printf "[%s]" $path) -}}
{{- end -}}
{{- $parts = append $parts (join "\n" $scalars) -}}
{{- end -}}
{{- join "\n\n" (concat $parts $tables) -}}
{{- end -}}
