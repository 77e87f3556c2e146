{{/*
What the schema cannot say in words that help. All problems are shown at once.
*/}}

{{/*
Values of earlier versions that are gone, and what is there in their place. The schema has to allow such a key (as `{}` with "deprecated": true),
so that its user is told the new name here instead of only that it is unknown.
*/}}
{{- define "foghorn.removedKeys" -}}
{{- $removed := dict -}}
{{- /* for example: "controller.tls.secretName" "trust.existingSecret" */ -}}
{{- $root := . -}}
{{- range $old, $new := $removed -}}
{{- $found := $root.Values -}}
{{- range $part := splitList "." $old -}}
{{- if and (kindIs "map" $found) (hasKey $found $part) -}}
{{- $found = get $found $part -}}
{{- else -}}
{{- $found = "" -}}
{{- end -}}
{{- end -}}
{{- if $found }}
* {{ $old }} is gone: set {{ $new }} instead
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Keys of the programs that follow from values. */}}
{{- define "foghorn.problems.config" -}}
{{- $hints := dict
  "data_dir" "it is a volume of the chart: controller.volume"
  "rest.listen" "listenAddress"
  "rest.names" "names"
  "rest.drain_seconds" "controller.drainSeconds"
  "link.listen" "listenAddress"
  "link.advertise" "controller.linkAdvertise"
  "login.trusted_proxies" "controller.trustedProxies"
  "store" "store.engine and etcd"
  "trust.authority_dir" "trust.existingSecret"
  "trust.store_key_file" "trust.storeKey.existingSecret"
  "plugins.dir" "controller.plugins"
  "backup.dir" "backup.volume"
  "kubernetes" "enrolment"
  "listen" "listenAddress"
  "cold.credentials" "agent.cold.existingSecret"
  "health" "agent.healthPort"
  "first_run" "firstRun"
  "first_run_file" "firstRun" -}}
{{- $found := list -}}
{{- if include "foghorn.hasControllers" . -}}
{{- $own := include "foghorn.controller.keys" . | fromYaml -}}
{{- range list "data_dir" "store" "first_run" "first_run_file" -}}
{{- $_ := set $own . "" -}}
{{- end -}}
{{- range include "foghorn.clashes" (dict "path" "" "own" $own "given" (default dict (.Values.controller).config)) | splitList "\n" -}}
{{- if . -}}{{- $found = append $found (list "controller.config" .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := include "foghorn.agent.keys" . | fromYaml -}}
{{- range list "state_dir" "controller" "advertise" "name" "join_token" "join_token_file" "service_account_token_file" "ca_file" "ca_fingerprint" "health" -}}
{{- $_ := set $own . "" -}}
{{- end -}}
{{- range include "foghorn.clashes" (dict "path" "" "own" $own "given" (default dict (.Values.agent).config)) | splitList "\n" -}}
{{- if . -}}{{- $found = append $found (list "agent.config" .) -}}{{- end -}}
{{- end -}}
{{- range $found }}
{{- $where := index . 0 }}
{{- $key := index . 1 }}
{{- $hint := default (get $hints (splitList "." $key | first)) (get $hints $key) }}
* {{ $where }}.{{ $key }} is set by the chart itself{{ with $hint }}: use {{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "foghorn.problems.controllers" -}}
{{- $mode := include "foghorn.mode" . -}}
{{- $engine := include "foghorn.engine" . -}}
{{- $trust := default dict .Values.trust -}}
{{- $authority := include "foghorn.trust.authority" . -}}
{{- if and (eq $mode "box") (or (eq (default "" (.Values.store).engine) "etcd") (.Values.etcd).endpoints) }}
* mode is box, whose state is in its own volume: for controllers with etcd, set mode to fleet
{{- end -}}
{{- if and (eq $engine "embedded") (gt (include "foghorn.controller.replicas" . | int) 1) }}
* the embedded store belongs to one controller: set controller.replicas to 1, or mode to fleet and store.engine to etcd
{{- end -}}
{{- if and $trust.existingSecret ($trust.certManager).enabled }}
* trust.existingSecret and trust.certManager.enabled are both set: the certificate authority comes from one of them
{{- end -}}
{{- if and (eq $authority "store") (not ($trust.storeKey).existingSecret) }}
* several controllers need one certificate authority: set trust.existingSecret (a Secret with tls.crt and tls.key of an authority),
  trust.certManager.enabled, or trust.storeKey.existingSecret, with which they keep one in etcd, encrypted. For the last one:
  kubectl -n {{ .Release.Namespace }} create secret generic foghorn-store-key --from-literal=store-key="$(head -c 32 /dev/urandom | base64)"
{{- end -}}
{{- if and (ne $authority "store") ($trust.storeKey).existingSecret }}
* trust.storeKey.existingSecret is for an authority that is kept in etcd: {{ if eq $engine "embedded" }}the embedded store has it in its volume{{ else }}it comes from a Secret here{{ end }}
{{- end -}}
{{- $first := default dict .Values.firstRun -}}
{{- if and $first.existingSecret (or (not ($first.keys).apiToken) (not (or ($first.keys).userToken ($first.keys).password))) }}
* firstRun.existingSecret needs firstRun.keys.apiToken, and firstRun.keys.userToken or firstRun.keys.password: nobody could log in
{{- end -}}
{{- if and (.Values.controller).hostNetwork (ne $mode "box") }}
* controller.hostNetwork is for mode box only: several controllers on one node would take each other's ports
{{- end -}}
{{- if and (eq $mode "box") (contains "$(" (default "" (.Values.agent).advertise)) }}
* agent.advertise has a variable of a pod, which mode box does not know: give HOST:PORT
{{- end -}}
{{- $maintenance := default dict .Values.maintenance -}}
{{- if and $maintenance.args (not $maintenance.enabled) }}
* maintenance.args is set without maintenance.enabled: no command on the state is run while controllers run
{{- end -}}
{{- end -}}

{{- define "foghorn.problems.etcd" -}}
{{- $etcd := default dict .Values.etcd -}}
{{- $tls := default dict $etcd.tls -}}
{{- if include "foghorn.hasEtcd" . -}}
{{- if include "foghorn.etcd.tls" . -}}
{{- if and (not ($tls.certManager).enabled) (or (not $tls.existingSecret) (not $tls.existingClientSecret)) }}
* the members of etcd need certificates: set etcd.tls.certManager.enabled, or etcd.tls.existingSecret and etcd.tls.existingClientSecret (ca.crt, tls.crt, tls.key
  in each). Only to try it out, set etcd.tls.enabled to false: then only the NetworkPolicy keeps others away from the state
{{- end -}}
{{- if and ($tls.certManager).enabled (or $tls.existingSecret $tls.existingClientSecret) }}
* etcd.tls.certManager.enabled and existing Secrets are both set: the certificates come from one of them
{{- end -}}
{{- else if eq (toString (.Values.networkPolicy).enabled) "false" }}
* etcd.tls.enabled is false and networkPolicy.enabled, too: everybody in the cluster could read and change the state
{{- end -}}
{{- end -}}
{{- $encrypted := false -}}
{{- range $etcd.endpoints -}}
{{- if hasPrefix "https://" . -}}{{- $encrypted = true -}}{{- end -}}
{{- end -}}
{{- if and (eq (include "foghorn.engine" .) "etcd") $encrypted (not (($etcd.client).tls).existingSecret) }}
* etcd.endpoints are reached by https: set etcd.client.tls.existingSecret, whose ca.crt says whom to trust there
{{- end -}}
{{- if and (eq (include "foghorn.engine" .) "etcd") (($etcd.client).login).existingSecret (not (($etcd.client).login).user) }}
* etcd.client.login.existingSecret needs etcd.client.login.user
{{- end -}}
{{- if and (.Values.backup).enabled (eq (include "foghorn.engine" .) "etcd") (not ((.Values.backup).passphrase).existingSecret) }}
* backup.enabled needs backup.passphrase.existingSecret: the files hold the key of the certificate authority, so they are encrypted
{{- end -}}
{{- end -}}

{{- define "foghorn.problems.agents" -}}
{{- $mode := include "foghorn.mode" . -}}
{{- $agent := default dict .Values.agent -}}
{{- $kind := include "foghorn.agent.mode" . -}}
{{- if and (eq $mode "nodes") (eq $kind "none") }}
* mode is nodes and agent.mode is none: there is nothing to install
{{- end -}}
{{- if and (eq $mode "nodes") (not $agent.controllerUrl) }}
* mode is nodes: set agent.controllerUrl to the https://HOST:PORT of the controllers
{{- end -}}
{{- if and (ne $kind "none") (eq (include "foghorn.agent.enrolment" .) "serviceAccount") -}}
{{- $ca := include "foghorn.agent.caSource" . -}}
{{- $fingerprint := ((.Values.trust).ca).fingerprint -}}
{{- if not (or $ca $fingerprint) }}
* agents that enrol by their service account must know whom to trust: set trust.ca.pem (--set-file trust.ca.pem=ca.pem), trust.ca.existingConfigMap, trust.ca.existingSecret
  (in the namespace {{ include "foghorn.agent.namespace" . }}) or trust.ca.fingerprint. Or let them enrol by a join token, which says it: agent.joinToken.existingSecret
{{- end -}}
{{- if and $ca $fingerprint }}
* trust.ca.fingerprint is set although the certificate of the authority is known: leave it out
{{- end -}}
{{- end -}}
{{- if and ((.Values.test).multicast).enabled (include "foghorn.agent.onHost" .) (or (not (include "foghorn.agent.caSource" .)) (not (include "foghorn.test.multicastSecret" .))) }}
* test.multicast.enabled needs the certificate of the authority (trust.ca) and a Secret with tokens (test.multicast.existingSecret) in the namespace {{ include "foghorn.agent.namespace" . }}
{{- end -}}
{{- end -}}

{{/* What is reached from outside, and would be told to those outside by a name that only the cluster knows. */}}
{{- define "foghorn.problems.advertised" -}}
{{- $controller := default dict .Values.controller -}}
{{- $service := default dict .Values.service -}}
{{- $gateway := default dict .Values.gateway -}}
{{- $link := default "ClusterIP" ($service.link).type -}}
{{- if include "foghorn.hasControllers" . -}}
{{- if not $controller.linkAdvertise -}}
{{- $why := "" -}}
{{- if $controller.hostNetwork -}}{{- $why = "controller.hostNetwork is set" -}}
{{- else if ne $link "ClusterIP" -}}{{- $why = printf "service.link.type is %s" $link -}}
{{- else if ($gateway.linkRoute).enabled -}}{{- $why = "gateway.linkRoute.enabled is set" -}}
{{- end -}}
{{- if $why }}
* {{ $why }}, but storage nodes outside would be told a name that only the cluster knows: set controller.linkAdvertise to the HOST:PORT at which they reach the link (8444)
{{- end -}}
{{- end -}}
{{- $quic := default "ClusterIP" ($service.quic).type -}}
{{- if and (eq (include "foghorn.mode" .) "box") (not (.Values.agent).advertise) (not $controller.hostNetwork) -}}
{{- $why := "" -}}
{{- if ne $quic "ClusterIP" -}}{{- $why = printf "service.quic.type is %s" $quic -}}
{{- else if ($gateway.quicRoute).enabled -}}{{- $why = "gateway.quicRoute.enabled is set" -}}
{{- end -}}
{{- if $why }}
* {{ $why }}, but machines outside would be told a name that only the cluster knows: set agent.advertise to the HOST:PORT at which they reach the storage node (7472)
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "foghorn.problems.monitoring" -}}
{{- $rules := default dict (.Values.monitoring).rules -}}
{{- $known := list -}}
{{- range (.Files.Get "files/alerts.yml" | fromYaml).groups -}}
{{- range .rules -}}{{- $known = append $known .alert -}}{{- end -}}
{{- end -}}
{{- range $rules.disabled -}}
{{- if not (has . $known) }}
* monitoring.rules.disabled names {{ . }}, which is none of the alerts: {{ join ", " $known }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "foghorn.problems.network" -}}
{{- $gateway := default dict .Values.gateway -}}
{{- if and (.Values.ingress).enabled (not (.Values.ingress).hosts) }}
* ingress.enabled needs ingress.hosts
{{- end -}}
{{- range $route := list "httpRoute" "tlsRoute" "linkRoute" "quicRoute" -}}
{{- $given := default dict (get $gateway $route) -}}
{{- if and $given.enabled (not $given.parentRefs) }}
* gateway.{{ $route }}.enabled needs gateway.{{ $route }}.parentRefs
{{- end -}}
{{- end -}}
{{- if and ($gateway.tlsRoute).enabled (not ($gateway.tlsRoute).hostnames) }}
* gateway.tlsRoute.enabled needs gateway.tlsRoute.hostnames, which are also to be in names
{{- end -}}
{{- $backend := default dict ($gateway.httpRoute).backendTLS -}}
{{- if and $backend.enabled (not $backend.configMap) (not ((.Values.trust).ca).pem) }}
* gateway.httpRoute.backendTLS.enabled needs trust.ca.pem, or a ConfigMap with the key ca.crt in gateway.httpRoute.backendTLS.configMap
{{- end -}}
{{- end -}}

{{/*
Jumps between versions that would lose something, as far as Helm may look at the cluster: `helm template` and others that only render see nothing.
*/}}
{{- define "foghorn.problems.upgrade" -}}
{{- $check := default dict .Values.upgradeCheck -}}
{{- $wanted := .Chart.AppVersion -}}
{{- if and .Release.IsUpgrade (ne (toString $check.enabled) "false") (include "foghorn.hasControllers" .) -}}
{{- $oldest := index .Chart.Annotations "foghorn/upgrades-from" -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "foghorn.controller.name" .) -}}
{{- $installed := dig "metadata" "labels" "app.kubernetes.io/version" "" . -}}
{{- if and (regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+" $installed) (regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+" $wanted) -}}
{{- if semverCompare (printf "<%s-0" $oldest) $installed }}
* Foghorn {{ $installed }} is installed, and {{ $wanted }} reads only what {{ $oldest }} or a later version has stored: upgrade to {{ $oldest }} first (docs/operations/upgrading.md)
{{- end -}}
{{- $now := semver $installed -}}
{{- $then := semver $wanted -}}
{{- $isOlder := or (lt $then.Major $now.Major) (and (eq $then.Major $now.Major) (lt $then.Minor $now.Minor)) -}}
{{- if and $isOlder (not $check.allowOlder) }}
* Foghorn {{ $installed }} is installed, and {{ $wanted }} is older: it may not read what was stored since. Read CHANGELOG.md; then `helm rollback`, or set upgradeCheck.allowOlder
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "foghorn.problems" -}}
{{- include "foghorn.removedKeys" . -}}
{{- include "foghorn.problems.controllers" . -}}
{{- include "foghorn.problems.etcd" . -}}
{{- include "foghorn.problems.agents" . -}}
{{- include "foghorn.problems.network" . -}}
{{- include "foghorn.problems.advertised" . -}}
{{- include "foghorn.problems.monitoring" . -}}
{{- include "foghorn.problems.config" . -}}
{{- include "foghorn.problems.upgrade" . -}}
{{- end -}}
