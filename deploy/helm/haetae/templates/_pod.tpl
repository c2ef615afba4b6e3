{{/* What the pods of all roles have in common. */}}

{{/* .Values.pod with what the role says differently, key by key: dict "root" $ "values" .Values.auth. */}}
{{- define "haetae.podValues" -}}
{{- mustMergeOverwrite (deepCopy .root.Values.pod) (deepCopy .values.pod) | toJson -}}
{{- end }}

{{/* dict "root" $ "role" "auth" "pod" (pod values) "secrets" list "configuration" (name of a ConfigMap). */}}
{{- define "haetae.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .pod.securityContext | nindent 2 }}
volumes:
  - name: configuration
    configMap: {name: {{ .configuration }}}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- range .secrets }}
        {{- $from := index $.root.Values.secrets . }}
        - secret:
            name: {{ $from.name }}
            items: [{key: {{ $from.key | quote }}, path: {{ base (include "haetae.secretFile" .) }}}]
        {{- end }}
  {{- if and (eq .role "gateway") .root.Values.gateway.tlsSecretName }}
  - name: tls
    secret: {secretName: {{ .root.Values.gateway.tlsSecretName }}, defaultMode: 0440}
  {{- end }}
  {{- with .pod.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The same, of its one container. */}}
{{- define "haetae.containerBasics" -}}
image: {{ include "haetae.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# Where haetae.toml is found without being named: kubectl exec … -- haetae user create ann
workingDir: /etc/haetae
securityContext: {{- toYaml .pod.containerSecurityContext | nindent 2 }}
{{- with .pod.env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: configuration, mountPath: /etc/haetae, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/haetae, readOnly: true}
  {{- if and (eq .role "gateway") .root.Values.gateway.tlsSecretName }}
  - {name: tls, mountPath: /run/secrets/haetae-tls, readOnly: true}
  {{- end }}
  {{- with .pod.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
