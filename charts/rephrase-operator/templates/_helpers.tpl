{{- define "rephrase-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of every object's name: the release's name, and the chart's unless the release already says it. */}}
{{- define "rephrase-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The prefix of the names of objects that lie in no namespace: two releases of one name in two namespaces share none of them.
No namespace has a colon, so no two of these names are the same.
*/}}
{{- define "rephrase-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "rephrase-operator.fullname" .) }}
{{- end }}

{{- define "rephrase-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rephrase-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the pod that upgrades CRDs. Its name is another one: the metrics Service must not take it for an operator. */}}
{{- define "rephrase-operator.crdLabels" -}}
app.kubernetes.io/name: {{ printf "%s-crds" (include "rephrase-operator.name" .) | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of the pod of `helm test`, for the same reason. */}}
{{- define "rephrase-operator.testLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "rephrase-operator.name" .) | trunc 63 }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rephrase-operator.labels" -}}
{{ include "rephrase-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
Labels and annotations of an object's metadata. Every object takes them from here, so that commonLabels and
commonAnnotations reach all of them. Takes a map: `root`, and if wanted `labels` and `annotations` of the object's
own, which win over those of the values.
*/}}
{{- define "rephrase-operator.meta" -}}
labels:
  {{- $own := include "rephrase-operator.labels" .root | fromYaml }}
  {{- merge (dict) (default dict .labels) $own .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rephrase-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rephrase-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Security contexts by the standard "restricted" of Kubernetes, for every pod that the chart makes. */}}
{{- define "rephrase-operator.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "rephrase-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Takes a list of an image's values and the chart's appVersion. */}}
{{- define "rephrase-operator.image" -}}
{{- $image := first . }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default (last .) $image.tag) }}
{{- end }}
{{- end }}

{{/* The claim that caches models for jobs that name none; empty: there is none. */}}
{{- define "rephrase-operator.modelCacheClaim" -}}
{{- if .Values.worker.modelCache.create }}
{{- default (printf "%s-models" (include "rephrase-operator.fullname" .)) .Values.worker.modelCache.claimName }}
{{- else }}
{{- .Values.worker.modelCache.claimName }}
{{- end }}
{{- end }}

{{/* The namespaces whose jobs have this claim, as a JSON list; empty: all. */}}
{{- define "rephrase-operator.modelCacheNamespaces" -}}
{{- default .Values.watchNamespaces .Values.worker.modelCache.namespaces | toJson }}
{{- end }}

{{/* What the operator gives to the pods of jobs, as JSON. Only what is set is in it. */}}
{{- define "rephrase-operator.podDefaults" -}}
{{- $settings := dict
  "imagePullPolicy" .Values.worker.image.pullPolicy
  "imagePullSecrets" .Values.worker.imagePullSecrets
  "runtimeClassName" .Values.worker.runtimeClassName
  "nodeSelector" .Values.worker.nodeSelector
  "tolerations" .Values.worker.tolerations
  "stepNodeSelector" .Values.worker.stepNodeSelector
  "stepTolerations" .Values.worker.stepTolerations
  "priorityClassName" .Values.worker.priorityClassName
  "labels" .Values.worker.podLabels
  "annotations" .Values.worker.podAnnotations
  "env" .Values.worker.env
  "modelCacheClaim" (include "rephrase-operator.modelCacheClaim" .)
  "modelCacheNamespaces" .Values.worker.modelCache.namespaces
  "scrapeAnnotations" .Values.metrics.scrapeAnnotations
}}
{{- $set := dict
  "acceleratorResource" .Values.worker.acceleratorResource
  "stepResources" .Values.worker.stepResources
  "podSecurityContext" .Values.worker.securityContext.pod
  "containerSecurityContext" .Values.worker.securityContext.container
}}
{{- range $name, $value := $settings }}
{{- if $value }}
{{- $_ := set $set $name $value }}
{{- end }}
{{- end }}
{{- toJson $set }}
{{- end }}
