{{/*
Volumes of the pod: routes, and secrets that are mounted. Whole directories, for a file that is
mounted by subPath never changes again.
*/}}
{{- define "onceward.volumes" -}}
{{- $o := .Values.onceward -}}
{{- $volumes := list -}}
{{- with include "onceward.routesConfigMap" . }}
{{- $volumes = append $volumes (dict "name" "onceward-routes" "configMap" (dict "name" .)) }}
{{- end }}
{{- range $name, $value := $o.config }}
{{- if and (kindIs "map" $value) (ne $name "routes") }}
{{- if eq (default "file" $value.as) "file" }}
{{- $items := list (dict "key" $value.key "path" $value.key) }}
{{- $source := dict "secret" (dict "secretName" $value.secretName "items" $items) }}
{{- if $value.configMapName }}
{{- $source = dict "configMap" (dict "name" $value.configMapName "items" $items) }}
{{- end }}
{{- $volumes = append $volumes (merge (dict "name" (printf "onceward-%s" (kebabcase $name))) $source) }}
{{- end }}
{{- end }}
{{- end }}
{{- with concat $volumes $o.volumes }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "onceward.volumeMounts" -}}
{{- $o := .Values.onceward -}}
{{- $mounts := list -}}
{{- range $volume := include "onceward.volumes" . | fromYamlArray }}
{{- if hasPrefix "onceward-" $volume.name }}
{{- $path := include "onceward.mountPath" (trimPrefix "onceward-" $volume.name) }}
{{- $mounts = append $mounts (dict "name" $volume.name "mountPath" $path "readOnly" true) }}
{{- end }}
{{- end }}
{{- with concat $mounts $o.volumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{/* The ConfigMap the routes come from; nothing without routes. */}}
{{- define "onceward.routesConfigMap" -}}
{{- $o := .Values.onceward -}}
{{- if $o.routesFrom.configMapName -}}
{{- $o.routesFrom.configMapName -}}
{{- else if $o.config.routes -}}
{{- include "onceward.name" . }}-routes
{{- end -}}
{{- end -}}
