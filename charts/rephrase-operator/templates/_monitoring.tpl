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
