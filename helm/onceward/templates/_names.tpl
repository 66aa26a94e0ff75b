{{/* The name of everything the sidecar brings along, with what it is behind it. */}}
{{- define "onceward.name" -}}
{{- printf "%s-onceward" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- end -}}

{{- define "onceward.labels" -}}
app.kubernetes.io/name: onceward
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Subcharts.onceward.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "onceward.image" -}}
{{- $image := .Values.onceward.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Subcharts.onceward.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The data plane's port: what a Service's targetPort is. */}}
{{- define "onceward.port" -}}
{{- .Values.onceward.config.listen | splitList ":" | last -}}
{{- end -}}

{{/* The admin plane's port: probes and metrics. */}}
{{- define "onceward.adminPort" -}}
{{- .Values.onceward.config.adminListen | splitList ":" | last -}}
{{- end -}}
