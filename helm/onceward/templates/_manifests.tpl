{{/* What stands beside the pod: the routes, and what Prometheus and Grafana pick up. */}}
{{- define "onceward.manifests" -}}
{{- include "onceward.routes" . }}
{{- include "onceward.podMonitor" . }}
{{- include "onceward.alerts" . }}
{{- include "onceward.dashboard" . }}
{{- end -}}

{{- define "onceward.routes" -}}
{{- $o := .Values.onceward -}}
{{- if and $o.config.routes (not $o.routesFrom.configMapName) }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "onceward.routesConfigMap" . }}
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
data:
  routes.json: |
    {{- include "onceward.routesJson" . | nindent 4 }}
{{- end }}
{{- end -}}

{{/*
The routes as the sidecar reads them, one a line. YAML reads off as false: where a word is due, it
is off.
*/}}
{{- define "onceward.routesJson" -}}
{{- $given := deepCopy .Values.onceward.config.routes -}}
{{- $whole := kindIs "map" $given | ternary $given (dict "routes" $given) -}}
{{- $lines := list -}}
{{- range $route := $whole.routes }}
{{- range $field := list "token" "fingerprint" }}
{{- if kindIs "bool" (get $route $field) }}
{{- $_ := set $route $field (ternary "on" "off" (get $route $field)) }}
{{- end }}
{{- end }}
{{- $lines = append $lines (toRawJson $route) }}
{{- end -}}
{
{{- with $whole.lifecycles }}
  "lifecycles": {{ toRawJson . }},
{{- end }}
  "routes": [
{{ join ",\n" $lines | indent 4 }}
  ]
}
{{- end -}}
