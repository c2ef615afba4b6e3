{{/* haetae.toml: what the chart sets, and over it .Values.config. */}}

{{- define "haetae.configuration" -}}
{{- include "haetae.refuseSetTwice" . -}}
{{- $own := include "haetae.ownConfiguration" . | fromYaml -}}
{{- with $own.Error }}{{ fail . }}{{ end -}}
# Made by the chart {{ .Chart.Name }} from its values.
{{ include "haetae.toml" (dict "at" "" "tree" (mustMergeOverwrite $own (deepCopy .Values.config))) | trim }}
{{- end }}

{{- define "haetae.ownConfiguration" -}}
{{- $name := include "haetae.name" . -}}
public_url: {{ required "publicUrl is not set: say by which address people reach Haetae, such as https://shop.example.com" .Values.publicUrl | quote }}
gateway:
  listen: {{ printf "%s:8080" .Values.bindAddress | quote }}
  admin: {listen: {{ printf "%s:9080" .Values.bindAddress | quote }}}
  trusted_proxies: {{ toJson .Values.trustedProxies }}
  drain: {{ printf "%ds" (int .Values.gateway.drainSeconds) | quote }}
  browser: {client_secret: {file: {{ include "haetae.secretFile" "gatewayClientSecret" }}}}
  {{- if .Values.gateway.tlsSecretName }}
  tls: {certificate: /run/secrets/haetae-tls/tls.crt, key: /run/secrets/haetae-tls/tls.key}
  {{- end }}
  # Two addresses each. The pods' own: so each has its own breaker, and a request goes to the next one when one
  # is gone. And the Service's: it is there before the first pod is, and leads to a new pod before its address is
  # looked up (every 30 s, each second while one does not answer).
  upstreams:
    - name: auth
      addresses: ["{{ $name }}-auth-pods:8081", "{{ $name }}-auth:8081"]
    - name: reservation
      addresses: ["{{ $name }}-reservation-pods:8082", "{{ $name }}-reservation:8082"]
    {{- with .Values.gateway.extraUpstreams }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
auth:
  listen: {{ printf "%s:8081" .Values.bindAddress | quote }}
  admin: {listen: {{ printf "%s:9081" .Values.bindAddress | quote }}}
  {{- with .Values.issuerUrl }}
  public_url: {{ . | quote }}
  {{- end }}
  trusted_proxies: {{ toJson .Values.auth.trustedProxies }}
  # Each takes 19 MiB. One a core, the default, would be one a core of the whole node.
  password: {concurrency: 4}
keys:
  master_key: {file: {{ include "haetae.secretFile" "masterKey" }}}
reservation:
  listen: {{ printf "%s:8082" .Values.bindAddress | quote }}
  admin: {listen: {{ printf "%s:9082" .Values.bindAddress | quote }}}
worker:
  admin: {listen: {{ printf "%s:9083" .Values.bindAddress | quote }}}
redis:
  url: {file: {{ include "haetae.secretFile" "redisUrl" }}}
database:
  auth_url: {file: {{ include "haetae.secretFile" "authDatabaseUrl" }}}
  reservation_url: {file: {{ include "haetae.secretFile" "reservationDatabaseUrl" }}}
  migrate: {{ not .Values.migrate.enabled }}
log:
  format: json
{{- end }}

{{/* What the chart sets and others read: said once, in the value that all of them follow. */}}
{{- define "haetae.refuseSetTwice" -}}
{{- $config := .Values.config -}}
{{- range $key, $instead := include "haetae.setByValues" . | fromYaml -}}
{{- $at := $config -}}
{{- $found := true -}}
{{- range splitList "." $key -}}
{{- if and $found (kindIs "map" $at) (hasKey $at .) -}}
{{- $at = index $at . -}}
{{- else -}}
{{- $found = false -}}
{{- end -}}
{{- end -}}
{{- if $found }}{{ fail (printf "config.%s cannot be set here: %s" $key $instead) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "haetae.setByValues" -}}
public_url: use publicUrl
data_dir: nothing is kept in a pod
gateway.listen: use bindAddress
gateway.admin.listen: use bindAddress
gateway.trusted_proxies: use trustedProxies
gateway.drain: use gateway.drainSeconds
gateway.browser.client_secret: use secrets.gatewayClientSecret
gateway.tls: use gateway.tlsSecretName
gateway.upstreams: use gateway.extraUpstreams
auth.listen: use bindAddress
auth.admin.listen: use bindAddress
auth.public_url: use issuerUrl
auth.trusted_proxies: use auth.trustedProxies
keys.master_key: use secrets.masterKey
reservation.listen: use bindAddress
reservation.admin.listen: use bindAddress
worker.admin.listen: use bindAddress
redis.url: use secrets.redisUrl
database.auth_url: use secrets.authDatabaseUrl
database.reservation_url: use secrets.reservationDatabaseUrl
database.migrate: use migrate.enabled
{{- end }}
