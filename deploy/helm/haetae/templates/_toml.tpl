{{/*
A tree of values as TOML: dict "at" "" "tree" map. Not with toToml, which writes each number as a
float (16 as 16.0). JSON's texts, numbers, booleans and lists of them are TOML's too.
*/}}
{{- define "haetae.toml" -}}
{{- $at := .at -}}
{{- range $key, $value := .tree }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value) (include "haetae.isTables" $value)) }}
{{ include "haetae.tomlKey" $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .tree }}
{{- $path := include "haetae.tomlKey" $key }}
{{- with $at }}{{ $path = printf "%s.%s" . $path }}{{ end }}
{{- if kindIs "map" $value }}

[{{ $path }}]
{{- include "haetae.toml" (dict "at" $path "tree" $value) }}
{{- else if include "haetae.isTables" $value }}
{{- range $value }}

[[{{ $path }}]]
{{- include "haetae.toml" (dict "at" $path "tree" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "haetae.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* "yes" for a list of tables, otherwise nothing. */}}
{{- define "haetae.isTables" -}}
{{- if kindIs "slice" . }}{{ with first . }}{{ if kindIs "map" . }}yes{{ end }}{{ end }}{{ end -}}
{{- end }}
