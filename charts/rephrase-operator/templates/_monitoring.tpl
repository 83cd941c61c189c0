{{/*
Names of the metrics that Prometheus keeps of a worker: the project's own, and those of vLLM's that the rules and
the dashboards read. Regular expressions that match a whole name.
*/}}
{{- define "rephrase-operator.keptMetrics" -}}
- rephrase_worker_.+
- vllm:kv_cache_usage_perc
- vllm:num_requests_(running|waiting)
- vllm:num_preemptions_total
- vllm:prefix_cache_(queries|hits)_total
- vllm:spec_decode_num_(draft|accepted)_tokens_total
- vllm:(prompt|generation)_tokens_total
{{- end }}

{{/* What both monitors say of an endpoint. Takes the monitor's values. */}}
{{- define "rephrase-operator.scrape" -}}
- port: metrics
  path: /metrics
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
{{- end }}

{{/*
An alert of rules/ with what the values change about it, as a list: empty if it is switched off. Takes a list of the
alert and of metrics.prometheusRule.
*/}}
{{- define "rephrase-operator.alert" -}}
{{- $alert := first . }}
{{- $values := last . }}
{{- $change := get $values.alerts $alert.alert | default dict }}
{{- if get $change "enabled" | toString | ne "false" }}
  {{- if hasKey $change "threshold" }}
    {{- $marked := "[0-9.]+ # threshold" }}
    {{- if not (regexMatch $marked $alert.expr) }}
      {{- fail (printf "metrics.prometheusRule.alerts.%s has no threshold" $alert.alert) }}
    {{- end }}
    {{- $_ := set $alert "expr" (regexReplaceAll $marked $alert.expr (toString $change.threshold)) }}
  {{- end }}
  {{- with $change.for }}
    {{- $_ := set $alert "for" . }}
  {{- end }}
  {{- with $change.severity }}
    {{- $_ := set $alert.labels "severity" . }}
  {{- end }}
  {{- with $values.runbookUrl }}
    {{- $anchor := $alert.annotations.runbook_url | splitList "#" | last }}
    {{- $_ := set $alert.annotations "runbook_url" (printf "%s#%s" . $anchor) }}
  {{- end }}
{{- list $alert | toYaml }}
{{- else }}
{{- list | toYaml }}
{{- end }}
{{- end }}
