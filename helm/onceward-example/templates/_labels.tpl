{{- define "example.selector" -}}
app.kubernetes.io/name: payment
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "example.labels" -}}
{{ include "example.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}
