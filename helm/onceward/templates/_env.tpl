{{/*
The container's env: one variable per value of `config` that is set, in the order of their names.
lockTtl is ONCEWARD_LOCK_TTL, otelServiceName OTEL_SERVICE_NAME; a secret that is mounted is ..._FILE.
*/}}
{{- define "onceward.env" -}}
{{- $o := .Values.onceward -}}
{{- range $name, $value := omit $o.config "routes" }}
{{- $var := $name | snakecase | upper }}
{{- if not (hasPrefix "OTEL_" $var) }}
{{- $var = printf "ONCEWARD_%s" $var }}
{{- end }}
{{- if kindIs "map" $value }}
{{- if eq (default "file" $value.as) "env" }}
- name: {{ $var }}
  valueFrom:
    secretKeyRef:
      name: {{ $value.secretName }}
      key: {{ $value.key }}
{{- else }}
- name: {{ trimSuffix "_FILE" $var }}_FILE
  value: {{ include "onceward.mountPath" $name }}/{{ $value.key }}
{{- end }}
{{- else if ne (toString $value) "" }}
- name: {{ $var }}
  value: {{ include "onceward.text" (dict "name" $name "value" $value) | quote }}
{{- end }}
{{- end }}
{{- with include "onceward.routesFile" . }}
- name: ONCEWARD_ROUTES
  value: {{ . }}
{{- end }}
{{- with $o.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A value as its variable is written. */}}
{{- define "onceward.text" -}}
{{- $value := .value -}}
{{- if kindIs "slice" $value -}}
{{- join "," $value -}}
{{- else if kindIs "float64" $value -}}
{{- int64 $value -}}
{{- else if and (kindIs "bool" $value) (not (has .name (include "onceward.truths" . | splitList " "))) -}}
{{- /* YAML reads off and on as false and true. */ -}}
{{- ternary "on" "off" $value -}}
{{- else -}}
{{- $value -}}
{{- end -}}
{{- end -}}

{{/* Values whose words are true and false. */}}
{{- define "onceward.truths" -}}keyRequired{{- end -}}

{{/* Where a value that comes from a volume is mounted. */}}
{{- define "onceward.mountPath" -}}
/etc/onceward/{{ kebabcase . }}
{{- end -}}

{{/* The routes' file; nothing without routes. */}}
{{- define "onceward.routesFile" -}}
{{- $o := .Values.onceward -}}
{{- if $o.routesFrom.configMapName -}}
{{ include "onceward.mountPath" "routes" }}/{{ $o.routesFrom.key }}
{{- else if $o.config.routes -}}
{{ include "onceward.mountPath" "routes" }}/routes.json
{{- end -}}
{{- end -}}
