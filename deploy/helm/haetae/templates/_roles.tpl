{{/*
What each role is: its ports, the secrets that it uses, and how many seconds it may take to end once
it is told to.
*/}}
{{- define "haetae.roles" -}}
gateway:
  port: 8080
  admin: 9080
  secrets: [redisUrl, gatewayClientSecret]
  end: {{ add .Values.gateway.drainSeconds 10 }}
auth:
  port: 8081
  admin: 9081
  secrets: [redisUrl, authDatabaseUrl, masterKey, gatewayClientSecret]
  # The gateway waits half a minute for an answer.
  end: 40
reservation:
  port: 8082
  admin: 9082
  secrets: [redisUrl, reservationDatabaseUrl]
  # `Prefer: wait` holds an answer for half a minute.
  end: 40
worker:
  admin: 9083
  secrets: [redisUrl, reservationDatabaseUrl]
  end: 30
{{- end }}

{{/* The file of a secret. */}}
{{- define "haetae.secretFile" -}}
{{- printf "/run/secrets/haetae/%s" (kebabcase .) -}}
{{- end }}
