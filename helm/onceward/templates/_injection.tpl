{{/*
Policies of the API server, for a chart that is installed once per cluster: pods that carry the
label get the sidecar, and a pod that carries it and has none is refused.
*/}}
{{- define "onceward.injection" -}}
{{- $o := .Values.onceward -}}
{{- if $o.config.routes }}
{{- include "onceward.refuse" "an injected sidecar reads routes from its pod's own namespace; write routesFrom.configMapName, or ROUTES in a ConfigMap of envFrom" }}
{{- end }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: {{ include "onceward.name" . }}-inject
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    {{- include "onceward.labelledPods" (list . (list "CREATE")) | nindent 4 }}
  matchConditions:
    - name: has-no-sidecar-yet
      expression: >-
        !has(object.spec.initContainers)
        || !object.spec.initContainers.exists(c, c.name == "onceward")
  mutations:
    {{- $sidecar := include "onceward.container" . | fromYamlArray | first }}
    {{- include "onceward.insert" (dict "field" "initContainers" "items" (list $sidecar)) | trim | nindent 4 }}
    {{- with include "onceward.volumes" . | fromYamlArray }}
    {{- include "onceward.insert" (dict "field" "volumes" "items" .) | trim | nindent 4 }}
    {{- end }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: {{ include "onceward.name" . }}-inject
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
spec:
  policyName: {{ include "onceward.name" . }}-inject
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "onceward.name" . }}-require
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    {{- include "onceward.labelledPods" (list . (list "CREATE" "UPDATE")) | nindent 4 }}
  matchConditions:
    {{- /* A pod that runs gets no init container any more: only the label's coming is judged. */}}
    - name: label-is-new
      expression: >-
        request.operation == "CREATE"
        || !has(oldObject.metadata.labels)
        || !({{ $o.injection.label.key | quote }} in oldObject.metadata.labels)
        || oldObject.metadata.labels[{{ $o.injection.label.key | quote }}] != {{ $o.injection.label.value | quote }}
  validations:
    - expression: >-
        has(object.spec.initContainers)
        && object.spec.initContainers.exists(c, c.name == "onceward"
        && has(c.restartPolicy) && c.restartPolicy == "Always"
        && (c.image.startsWith({{ printf "%s:" $o.image.repository | quote }})
        || c.image.startsWith({{ printf "%s@" $o.image.repository | quote }})))
      message: {{ printf "the label %s=%s asks for the Onceward sidecar, and this pod has none of image %s: a payment could reach it twice" $o.injection.label.key $o.injection.label.value $o.image.repository | quote }}
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "onceward.name" . }}-require
  labels:
    {{- include "onceward.labels" . | nindent 4 }}
spec:
  policyName: {{ include "onceward.name" . }}-require
  validationActions: [Deny]
{{- end -}}

{{/* Which pods: takes the root and a list of operations. */}}
{{- define "onceward.labelledPods" -}}
{{- $injection := (first .).Values.onceward.injection -}}
matchPolicy: Equivalent
namespaceSelector:
  {{- if $injection.namespaceSelector }}
  {{- toYaml $injection.namespaceSelector | nindent 2 }}
  {{- else }}
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: [kube-system]
  {{- end }}
objectSelector:
  matchLabels:
    {{ $injection.label.key }}: {{ $injection.label.value | quote }}
resourceRules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: {{ last . | toJson }}
    resources: [pods]
    scope: Namespaced
{{- end -}}

{{/*
Items put before those a list of the pod's spec has, or as a list of their own. A JSON patch, for an
apply configuration may not hold atomic lists such as capabilities.drop.
*/}}
{{- define "onceward.insert" -}}
{{- $field := .field }}
- patchType: JSONPatch
  jsonPatch:
    expression: |-
      has(object.spec.{{ $field }}) ? [
        {{- range $index, $item := .items }}
        {{- if $index }},{{ end }}
        JSONPatch{
          op: "add",
          path: "/spec/{{ $field }}/{{ $index }}",
          value: {{ include "onceward.cel" (dict "value" $item "path" (printf "spec.%s" $field)) | indent 10 | trim }}
        }
        {{- end }}
      ] : [
        JSONPatch{
          op: "add",
          path: "/spec/{{ $field }}",
          value: {{ include "onceward.cel" (dict "value" .items "path" (printf "spec.%s" $field)) | indent 10 | trim }}
        }
      ]
{{- end -}}

{{/* A value as CEL writes it: objects carry the path of their type. */}}
{{- define "onceward.cel" -}}
{{- $value := .value -}}
{{- $path := .path -}}
{{- $free := has (splitList "." $path | last) (list "limits" "requests" "labels" "volumeAttributes") -}}
{{- if kindIs "map" $value -}}
{{- $fields := list -}}
{{- range $name, $part := $value -}}
{{- $text := include "onceward.cel" (dict "value" $part "path" (printf "%s.%s" $path $name)) -}}
{{- $fields = append $fields (printf "%s: %s" (ternary (quote $name) $name $free) $text) -}}
{{- end -}}
{{- $inner := join ",\n" $fields | indent 2 -}}
{{- printf "%s{\n%s\n}" (ternary "" (printf "Object.%s" $path) $free) $inner -}}
{{- else if kindIs "slice" $value -}}
{{- $items := list -}}
{{- range $value -}}
{{- $items = append $items (include "onceward.cel" (dict "value" . "path" $path)) -}}
{{- end -}}
{{- printf "[\n%s\n]" (join ",\n" $items | indent 2) -}}
{{- else -}}
{{- toJson $value -}}
{{- end -}}
{{- end -}}
