{{/* For NOTES.txt: what to do next. */}}
{{- define "onceward.notes" -}}
{{- $o := .Values.onceward -}}
Onceward stands in front of the payment service on port {{ include "onceward.port" . }}.

Next:
1. Point the Service's targetPort at {{ include "onceward.port" . }}, and let nothing else reach the payment service: it should listen on {{ default "http://127.0.0.1:8081" $o.config.upstream }} only.
2. Ask whether money may rest on that Redis:
     kubectl exec -n {{ .Release.Namespace }} POD -c onceward -- onceward doctor
3. See what is in force:
     kubectl exec -n {{ .Release.Namespace }} POD -c onceward -- onceward check
{{- if not $o.config.secret }}

config.secret is not set: fingerprints are unkeyed and bodies are stored in clear. Make one:
     kubectl create secret generic {{ include "onceward.name" . }} -n {{ .Release.Namespace }} --from-literal=secret="$(openssl rand -hex 32)"
   and write  secret: { secretName: {{ include "onceward.name" . }}, key: secret }
{{- end }}
{{- if and (not $o.config.routes) (not $o.routesFrom.configMapName) }}

No routes are given: every POST and PATCH with an Idempotency-Key header is protected, and what has none streams through. An order number is the better key: see config.routes.
{{- end }}
{{- if not $o.monitoring.alerts.enabled }}

Nobody is called when an order stays unknown: monitoring.alerts.enabled is off.
{{- end }}
{{- if has (toString $o.config.faults) (list "on" "true") }}

Fault simulation is ON: never in front of real money.
{{- end }}
{{- end -}}
