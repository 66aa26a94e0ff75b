{{/*
The sidecar as an item of initContainers: a native sidecar, up before the payment service and gone
after it. The one place where the container is written down.
*/}}
{{- define "onceward.container" -}}
{{- include "onceward.check" . -}}
{{- $o := .Values.onceward -}}
- name: onceward
  image: {{ include "onceward.image" . }}
  imagePullPolicy: {{ $o.image.pullPolicy }}
  restartPolicy: Always
  ports:
    - name: onceward
      containerPort: {{ include "onceward.port" . }}
      protocol: TCP
    - name: onceward-admin
      containerPort: {{ include "onceward.adminPort" . }}
      protocol: TCP
  env:
    {{- include "onceward.env" . | trim | nindent 4 }}
  {{- with $o.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- /* Started and alive mean the process: a Redis that is away must not restart anything. */}}
  startupProbe:
    httpGet: { path: /livez, port: {{ include "onceward.adminPort" . }} }
    {{- toYaml $o.probes.startup | nindent 4 }}
  readinessProbe:
    httpGet: { path: /readyz, port: {{ include "onceward.adminPort" . }} }
    {{- toYaml $o.probes.readiness | nindent 4 }}
  livenessProbe:
    httpGet: { path: /livez, port: {{ include "onceward.adminPort" . }} }
    {{- toYaml $o.probes.liveness | nindent 4 }}
  {{- if $o.leaveSeconds }}
  lifecycle:
    preStop:
      exec:
        command: [onceward, leave, --for, {{ $o.leaveSeconds }}s]
  {{- end }}
  resources:
    {{- toYaml $o.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  {{- with include "onceward.volumeMounts" . }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}
