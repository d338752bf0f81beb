{{/* The image of a service: (list IMAGE APP_VERSION). A digest wins over a tag. */}}
{{- define "tidemark.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- end -}}
{{- end -}}
