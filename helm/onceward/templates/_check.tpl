{{/* What cannot work is refused here, in a sentence, and not by a pod that does not start. */}}
{{- define "onceward.check" -}}
{{- $o := .Values.onceward -}}
{{- $config := $o.config -}}
{{- range $name := include "onceward.secrets" . | splitList " " }}
{{- $value := get $config $name }}
{{- if and (kindIs "string" $value) $value }}
{{- include "onceward.refuse" (printf "config.%s is a secret and must not stand in plain values; put it in a Secret and write %s: { secretName: NAME, key: KEY }" $name $name) }}
{{- end }}
{{- end }}
{{- $url := $config.redisUrl }}
{{- $mode := default "standalone" $config.redisMode }}
{{- if kindIs "string" $url }}
{{- if or (contains "@" $url) (contains "pass=" $url) }}
{{- include "onceward.refuse" "config.redisUrl carries a password; put the whole URL in a Secret and write redisUrl: { secretName: NAME, key: KEY }" }}
{{- end }}
{{- if and (eq $mode "standalone") (contains "," $url) }}
{{- include "onceward.refuse" "config.redisUrl names several servers, which redisMode standalone does not take; say sentinel or cluster" }}
{{- end }}
{{- if and $url (not (contains "rediss://" $url)) (or $config.redisCaFile $config.redisCertFile) }}
{{- include "onceward.refuse" "config.redisCaFile and redisCertFile are for TLS, and config.redisUrl is not rediss://" }}
{{- end }}
{{- if and (ne $mode "standalone") (contains "unix://" $url) }}
{{- include "onceward.refuse" (printf "redisMode %s goes by addresses; config.redisUrl is a socket" $mode) }}
{{- end }}
{{- end }}
{{- if ne (empty $config.redisCertFile) (empty $config.redisKeyFile) }}
{{- include "onceward.refuse" "config.redisCertFile and config.redisKeyFile go together" }}
{{- end }}
{{- if and (eq $mode "sentinel") (not $config.redisMasterName) }}
{{- include "onceward.refuse" "redisMode sentinel needs config.redisMasterName: the name Sentinel has for the primary" }}
{{- end }}
{{- if and $config.redisMasterName (ne $mode "sentinel") }}
{{- include "onceward.refuse" "config.redisMasterName means nothing without redisMode sentinel" }}
{{- end }}
{{- if and $config.routes $o.routesFrom.configMapName }}
{{- include "onceward.refuse" "routes are given twice, by config.routes and by routesFrom.configMapName; keep one" }}
{{- end }}
{{- if or (hasPrefix "127." $config.adminListen) (hasPrefix "[::1]" $config.adminListen) }}
{{- include "onceward.refuse" "config.adminListen is a loopback address, where neither probes nor Prometheus reach it; write 0.0.0.0:9090 (without adminToken, /admin/ answers loopback only)" }}
{{- end }}
{{- range $name := list "listen" "adminListen" }}
{{- if not (get $config $name) }}
{{- include "onceward.refuse" (printf "config.%s is empty; ports and probes are made from it" $name) }}
{{- end }}
{{- end }}
{{- if eq (include "onceward.port" .) (include "onceward.adminPort" .) }}
{{- include "onceward.refuse" "config.listen and config.adminListen share a port" }}
{{- end }}
{{- if contains (printf ":%s/" (include "onceward.port" .)) (printf "%s/" $config.upstream) }}
{{- include "onceward.refuse" "config.upstream is the sidecar's own port; the payment service needs another" }}
{{- end }}
{{- $local := `^http://(localhost|127[.0-9]+|0[.]0[.]0[.]0|\[::1?\]):%s/?$` }}
{{- $upstream := default "http://127.0.0.1:8081" $config.upstream }}
{{- range $name, $port := dict "listen" (include "onceward.port" .) "adminListen" (include "onceward.adminPort" .) }}
{{- if regexMatch (printf $local $port) $upstream }}
{{- include "onceward.refuse" (printf "config.upstream (%s) is where config.%s is, the sidecar itself; the payment service needs another port" $upstream $name) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Values that come from a Secret or not at all. redisUrl may be plain as long as it has no password. */}}
{{- define "onceward.secrets" -}}adminToken adminReadToken secret otelExporterOtlpHeaders{{- end -}}

{{- define "onceward.refuse" -}}
{{- fail (printf "\n\nonceward: %s.\n" .) -}}
{{- end -}}
