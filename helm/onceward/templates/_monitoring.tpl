{{- define "onceward.podMonitor" -}}
{{- $monitor := .Values.onceward.monitoring.podMonitor -}}
{{- if $monitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "onceward.name" . }}
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
    {{- with $monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- toYaml (default (dict "app.kubernetes.io/instance" .Release.Name) $monitor.matchLabels) | nindent 6 }}
  podMetricsEndpoints:
    - port: onceward-admin
      path: /metrics
      interval: {{ $monitor.interval }}
{{- end }}
{{- end -}}

{{/* files/alerts.yaml as the operator takes it. */}}
{{- define "onceward.alerts" -}}
{{- $alerts := .Values.onceward.monitoring.alerts -}}
{{- if $alerts.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "onceward.name" . }}
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
    {{- with $alerts.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- .Subcharts.onceward.Files.Get "files/alerts.yaml" | replace "docs/runbook.md" $alerts.runbook | nindent 2 }}
{{- end }}
{{- end -}}

{{/* files/dashboard.json where the Grafana sidecar finds it. */}}
{{- define "onceward.dashboard" -}}
{{- $dashboard := .Values.onceward.monitoring.dashboard -}}
{{- if $dashboard.enabled }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "onceward.name" . }}-dashboard
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
    {{- with $dashboard.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
data:
  onceward.json: |
    {{- .Subcharts.onceward.Files.Get "files/dashboard.json" | nindent 4 }}
{{- end }}
{{- end -}}
