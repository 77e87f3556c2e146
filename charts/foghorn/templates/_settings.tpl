{{/*
The configuration files of the programs. What the chart sets cannot be set once more in `controller.config` or `agent.config`.
*/}}

{{/* Argument: dict "root" $ "port" NUMBER */}}
{{- define "foghorn.socket" -}}
{{- $address := default "0.0.0.0" .root.Values.listenAddress -}}
{{- if contains ":" $address -}}
{{- printf "[%s]:%d" $address (int .port) -}}
{{- else -}}
{{- printf "%s:%d" $address (int .port) -}}
{{- end -}}
{{- end -}}

{{/* Names of the controllers' certificate: those of people first, the first one is told to machines. A list in JSON. */}}
{{- define "foghorn.restNames" -}}
{{- $service := include "foghorn.fullname" . -}}
{{- $inside := list (include "foghorn.dns" (dict "root" . "service" $service)) (printf "%s.%s.svc" $service .Release.Namespace) (printf "%s.%s" $service .Release.Namespace) $service -}}
{{- concat (default list .Values.names) $inside | uniq | toJson -}}
{{- end -}}

{{/* https://HOST:8443 inside the cluster */}}
{{- define "foghorn.url" -}}
{{- printf "https://%s:8443" (include "foghorn.dns" (dict "root" . "service" (include "foghorn.fullname" .))) -}}
{{- end -}}

{{- define "foghorn.hasPlugins" -}}
{{- if or (.Values.controller).plugins (.Values.controller).existingPluginsConfigMap -}}true{{- end -}}
{{- end -}}

{{/* Keys of the controller that follow from values, as YAML. */}}
{{- define "foghorn.controller.keys" -}}
{{- $root := . -}}
{{- $link := include "foghorn.dns" (dict "root" . "service" (printf "%s-link" (include "foghorn.fullname" .))) -}}
{{- $mode := include "foghorn.mode" . -}}
{{- if ne $mode "box" }}
data_dir: /var/lib/foghorn
{{- end }}
rest:
  listen: {{ include "foghorn.socket" (dict "root" . "port" 8443) | quote }}
  names: {{ include "foghorn.restNames" . }}
  drain_seconds: {{ include "foghorn.drainSeconds" . }}
link:
  listen: {{ include "foghorn.socket" (dict "root" . "port" 8444) | quote }}
  advertise: {{ default (printf "%s:8444" $link) (.Values.controller).linkAdvertise | quote }}
{{- with (.Values.controller).trustedProxies }}
login:
  trusted_proxies: {{ toJson . }}
{{- end }}
{{- if eq (include "foghorn.engine" .) "etcd" }}
store:
  engine: etcd
  endpoints: {{ include "foghorn.etcd.endpoints" . }}
  {{- if include "foghorn.etcd.tls" . }}
  tls:
    ca: /etc/foghorn/etcd/ca.crt
    {{- with (((.Values.etcd).client).tls).serverName }}
    server_name: {{ . | quote }}
    {{- end }}
    {{- if include "foghorn.etcd.hasClientCertificate" . }}
    client:
      certificate: /etc/foghorn/etcd/tls.crt
      key: /etc/foghorn/etcd/tls.key
    {{- end }}
  {{- end }}
  {{- if (((.Values.etcd).client).login).existingSecret }}
  login:
    user: {{ .Values.etcd.client.login.user | quote }}
    password_file: /etc/foghorn/etcd-login/password
  {{- end }}
{{- else if ne $mode "box" }}
store:
  engine: embedded
{{- end }}
{{- $authority := include "foghorn.trust.authority" . }}
{{- if eq $authority "secret" }}
trust:
  authority_dir: /etc/foghorn/authority
{{- else if eq $authority "store" }}
trust:
  store_key_file: /etc/foghorn/store-key/key
{{- end }}
{{- if include "foghorn.hasPlugins" . }}
plugins:
  dir: /etc/foghorn/plugins
{{- end }}
{{- if and (.Values.backup).enabled (eq (include "foghorn.engine" .) "embedded") }}
backup:
  dir: /var/lib/foghorn-backups/store
{{- end }}
{{- if include "foghorn.reviewsTokens" . }}
kubernetes:
  enrol: true
  audience: {{ default "foghorn" (.Values.enrolment).audience | quote }}
  allowed: {{ include "foghorn.allowedAccounts" . }}
{{- end }}
{{- end -}}

{{/* Service accounts whose pods may be storage nodes: the chart's own agents first. A list in JSON. */}}
{{- define "foghorn.allowedAccounts" -}}
{{- $all := list -}}
{{- $mode := include "foghorn.agent.mode" . -}}
{{- if and (ne $mode "none") (eq (include "foghorn.agent.enrolment" .) "serviceAccount") -}}
{{- $account := include "foghorn.serviceAccount" (dict "root" . "component" "agent" "values" .Values.agent) -}}
{{- $own := dict "namespace" (include "foghorn.agent.namespace" .) "account" $account "name_of" (ternary "node" "pod" (eq $mode "daemonSet")) -}}
{{- with (.Values.agent).storageGroup -}}
{{- $_ := set $own "storage_group" . -}}
{{- end -}}
{{- $all = append $all $own -}}
{{- end -}}
{{- range (.Values.enrolment).allowed -}}
{{- $one := dict "namespace" .namespace "account" .account -}}
{{- with .names -}}{{- $_ := set $one "names" . -}}{{- end -}}
{{- with .nameOf -}}{{- $_ := set $one "name_of" . -}}{{- end -}}
{{- with .storageGroup -}}{{- $_ := set $one "storage_group" . -}}{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "foghorn.drainSeconds" -}}
{{- $given := (.Values.controller).drainSeconds -}}
{{- if kindIs "invalid" $given -}}10{{- else -}}{{ int $given }}{{- end -}}
{{- end -}}

{{/* Keys of a storage node that follow from values, as YAML. */}}
{{- define "foghorn.agent.keys" -}}
listen: {{ include "foghorn.socket" (dict "root" . "port" 7472) | quote }}
{{- if ((.Values.agent).cold).existingSecret }}
cold:
  credentials: /etc/foghorn/bucket/credentials
{{- end }}
{{- end -}}

{{/* Where kubelet asks an agent: on the network of its node, nobody else can reach it. */}}
{{- define "foghorn.agent.healthSocket" -}}
{{- $port := include "foghorn.agent.healthPort" . -}}
{{- if include "foghorn.agent.onHost" . -}}
127.0.0.1:{{ $port }}
{{- else -}}
{{- include "foghorn.socket" (dict "root" . "port" $port) -}}
{{- end -}}
{{- end -}}

{{- define "foghorn.agent.healthPort" -}}
{{- default 7473 (.Values.agent).healthPort | int -}}
{{- end -}}

{{- define "foghorn.controller.toml" -}}
{{- $own := include "foghorn.controller.keys" . | fromYaml -}}
{{- $all := mustMergeOverwrite (deepCopy (default dict (.Values.controller).config)) $own -}}
{{- $firstRun := include "foghorn.firstRunKeys" . | fromYaml -}}
{{- include "foghorn.toml" (dict "path" "" "table" (mustMergeOverwrite $all $firstRun)) -}}
{{- end -}}

{{/* `foghorn serve`: the same keys in sections. On the network of its node, it is reached at all addresses of that. */}}
{{- define "foghorn.box.toml" -}}
{{- $controller := mustMergeOverwrite (deepCopy (default dict (.Values.controller).config)) (include "foghorn.controller.keys" . | fromYaml) -}}
{{- $agent := mustMergeOverwrite (deepCopy (default dict (.Values.agent).config)) (include "foghorn.agent.keys" . | fromYaml) -}}
{{- $all := dict "state_dir" "/var/lib/foghorn" "controller" $controller "agent" $agent -}}
{{- if or .Values.names (not (.Values.controller).hostNetwork) -}}
{{- $_ := set $all "advertise" (include "foghorn.restNames" . | fromJsonArray | first) -}}
{{- end -}}
{{- $advertise := (.Values.agent).advertise -}}
{{- if not (or $advertise (.Values.controller).hostNetwork) -}}
{{- $advertise = printf "%s:7472" (include "foghorn.dns" (dict "root" . "service" (printf "%s-quic" (include "foghorn.fullname" .)))) -}}
{{- end -}}
{{- if $advertise -}}
{{- $_ := set $agent "advertise" $advertise -}}
{{- end -}}
{{- $firstRun := include "foghorn.firstRunKeys" . | fromYaml -}}
{{- include "foghorn.toml" (dict "path" "" "table" (mustMergeOverwrite $all $firstRun)) -}}
{{- end -}}

{{- define "foghorn.agent.toml" -}}
{{- $own := include "foghorn.agent.keys" . | fromYaml -}}
{{- $all := mustMergeOverwrite (deepCopy (default dict (.Values.agent).config)) $own -}}
{{- $_ := set $all "state_dir" "/var/lib/foghorn" -}}
{{- $_ := set $all "health" (dict "listen" (include "foghorn.agent.healthSocket" .)) -}}
{{- $_ := set $all "controller" (include "foghorn.agent.controllerUrl" .) -}}
{{- if eq (include "foghorn.agent.enrolment" .) "serviceAccount" -}}
{{- $_ := set $all "service_account_token_file" "/var/run/secrets/foghorn/token" -}}
{{- if include "foghorn.agent.caSource" . -}}
{{- $_ := set $all "ca_file" "/etc/foghorn/ca/ca.pem" -}}
{{- else -}}
{{- $_ := set $all "ca_fingerprint" (((.Values.trust).ca).fingerprint) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $all "join_token_file" "/etc/foghorn/join/token" -}}
{{- end -}}
{{- include "foghorn.toml" (dict "path" "" "table" $all) -}}
{{- end -}}

{{/* Where agents enrol. */}}
{{- define "foghorn.agent.controllerUrl" -}}
{{- default (include "foghorn.url" .) (.Values.agent).controllerUrl -}}
{{- end -}}

{{/*
Paths that both the chart and a user set, one per line. Argument: dict "path" "" "own" MAP "given" MAP
*/}}
{{- define "foghorn.clashes" -}}
{{- $path := .path -}}
{{- $given := .given -}}
{{- range $key, $value := .own -}}
{{- if hasKey $given $key -}}
{{- $found := get $given $key -}}
{{- $at := ternary $key (printf "%s.%s" $path $key) (eq $path "") -}}
{{- if and (kindIs "map" $value) (kindIs "map" $found) -}}
{{- include "foghorn.clashes" (dict "path" $at "own" $value "given" $found) -}}
{{- else -}}
{{- printf "%s\n" $at -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The first user and its credentials, as YAML. Given ones are files of a Secret; what a box makes by itself is in its volume.
*/}}
{{- define "foghorn.firstRunKeys" -}}
{{- $box := eq (include "foghorn.mode" .) "box" -}}
{{- $indent := ternary 4 2 $box -}}
{{- $first := default dict .Values.firstRun -}}
{{- $keys := default dict $first.keys -}}
{{- if or $first.existingSecret $first.user }}
{{- if $box }}
controller:
  first_run:
{{- else }}
first_run:
{{- end }}
{{- with $first.user }}
{{- printf "user: %s" (quote .) | nindent $indent }}
{{- end }}
{{- if $first.existingSecret }}
{{- with $keys.apiToken }}
{{- "api_token_file: /etc/foghorn/first-run/api-token" | nindent $indent }}
{{- end }}
{{- with $keys.userToken }}
{{- "user_token_file: /etc/foghorn/first-run/user-token" | nindent $indent }}
{{- end }}
{{- with $keys.password }}
{{- "password_file: /etc/foghorn/first-run/password" | nindent $indent }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (not $first.existingSecret) (eq (include "foghorn.engine" .) "embedded") }}
first_run_file: /var/lib/foghorn/first-run.json
{{- end }}
{{- end -}}
