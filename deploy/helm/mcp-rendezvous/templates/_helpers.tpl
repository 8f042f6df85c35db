{{- define "relay.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Of a dict with root and component, which has to be given because both have a Service. */}}
{{- define "relay.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "relay.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "relay.secret" -}}
{{ .Values.secrets.existing | default (include "relay.fullname" .) }}
{{- end -}}

{{/* Of a dict with root, name (of the Secret), entry and given: what is given, or what is there already, or 36 random bytes. */}}
{{- define "relay.random" -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace .name | default dict).data | default dict -}}
{{- if .given -}}
{{ .given }}
{{- else if hasKey $there .entry -}}
{{ index $there .entry | b64dec }}
{{- else -}}
{{ randBytes 36 | replace "+" "-" | replace "/" "_" }}
{{- end -}}
{{- end -}}

{{/* Whose X-Forwarded-For the relay believes: nobody's unless it is behind an ingress that the NetworkPolicy lets in alone. */}}
{{- define "relay.trustProxy" -}}
{{- if .Values.trustProxy -}}
{{ .Values.trustProxy }}
{{- else if not .Values.ingress.enabled -}}
false
{{- else if .Values.networkPolicy.enabled -}}
uniquelocal
{{- else -}}
{{ fail "without a NetworkPolicy every pod could forge its address: set trustProxy to the addresses of the ingress controller, or networkPolicy.enabled to true" }}
{{- end -}}
{{- end -}}

{{/* The name of the TURN server of this chart; nothing where there is none. */}}
{{- define "relay.turnHost" -}}
{{- $turn := .Values.turn -}}
{{- if and $turn.bundled.enabled (not (or $turn.stunUrls $turn.urls $turn.credentialsUrl)) -}}
{{- if $turn.bundled.host -}}
{{ $turn.bundled.host }}
{{- else if and .Values.ingress.enabled .Values.ingress.host -}}
turn.{{ .Values.ingress.host }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variables of the relay, as YAML of a map from names to strings. */}}
{{- define "relay.env" -}}
{{- $env := dict "RELAY_HOST" "0.0.0.0" "RELAY_PORT" "8787" "ADMIN_TOKEN_FILE" "/run/keys/admin-token" "REDIS_URL_FILE" "/run/keys/redis-url" -}}
{{- $_ := set $env "TRUST_PROXY" (include "relay.trustProxy" .) -}}
{{- $_ := set $env "DRAIN_WINDOW_MS" (mul .Values.drainSeconds 1000 | toString) -}}
{{- if eq .Values.keys "issuers" -}}
{{- $_ := set $env "RELAY_ISSUERS_FILE" "/run/keys/issuers.json" -}}
{{- else -}}
{{- $_ := set $env "RELAY_SECRET_FILE" "/run/keys/relay-secret" -}}
{{- end -}}
{{- with .Values.turn.stunUrls -}}
{{- $_ := set $env "STUN_URLS" (join "," .) -}}
{{- end -}}
{{- with .Values.turn.urls -}}
{{- $_ := set $env "TURN_URLS" (join "," .) -}}
{{- $_ := set $env "TURN_SECRET_FILE" "/run/keys/turn-secret" -}}
{{- end -}}
{{- with include "relay.turnHost" . -}}
{{- $urls := list (printf "turn:%s:3478?transport=udp" .) (printf "turn:%s:3478?transport=tcp" .) -}}
{{- if $.Values.turn.bundled.tlsSecret }}{{ $urls = append $urls (printf "turns:%s:443?transport=tcp" .) }}{{ end -}}
{{- $_ := set $env "STUN_URLS" (printf "stun:%s:3478" .) -}}
{{- $_ := set $env "TURN_URLS" (join "," $urls) -}}
{{- $_ := set $env "TURN_SECRET_FILE" "/run/keys/turn-secret" -}}
{{- end -}}
{{- with .Values.turn.credentialsUrl -}}
{{- $_ := set $env "TURN_CREDENTIALS_URL" . -}}
{{- $_ := set $env "TURN_CREDENTIALS_TOKEN_FILE" "/run/keys/turn-credentials-token" -}}
{{- end -}}
{{- with .Values.webhooks.url -}}
{{- $_ := set $env "WEBHOOK_URL" . -}}
{{- $_ := set $env "WEBHOOK_SECRET_FILE" "/run/keys/webhook-secret" -}}
{{- end -}}
{{- if .Values.redis.ca -}}
{{- $_ := set $env "REDIS_CA_FILE" "/run/keys/redis-ca.pem" -}}
{{- end -}}
{{- range $name, $value := .Values.env -}}
{{- $_ := set $env $name (kindIs "float64" $value | ternary (int64 $value | toString) (toString $value)) -}}
{{- end -}}
{{ toYaml $env }}
{{- end -}}
