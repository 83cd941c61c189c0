# One target for each image of this project: `operator`, `worker` (CUDA) and `worker-cpu`. docs/images.md says how
# they are built, started and verified. BuildKit (docker build) and buildah can build them.
#
# They install requirements/*.txt with --require-hashes: exactly the files that were locked, at the versions that
# the tests ran with. They run as any user, need no shell, and write to /tmp alone, so that the root file system
# can be read-only. A user id that a cluster has chosen (OpenShift) has no name and no home in /etc/passwd. So HOME
# is /tmp, where vLLM, torch, Triton and FlashInfer keep compiled code, and USER is set for those that ask for a name.

# A release passes both with their digests.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG VLLM_IMAGE=docker.io/vllm/vllm-openai:v0.32.0
ARG DESCRIBED=operator

FROM ${PYTHON_IMAGE} AS wheel
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /build
RUN --mount=type=bind,source=requirements,target=/requirements \
    pip --python /build/bin/python install --no-cache-dir --no-deps --require-hashes \
        --requirement /requirements/build.txt
WORKDIR /src
COPY . .
RUN pip --python /build/bin/python wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# This project alone, where the images have it. It is copied, because buildah 1.28 can't mount a stage that it has
# taken from its cache.
FROM wheel AS project
RUN python -m venv --without-pip /app \
    && pip --python /app/bin/python install --no-cache-dir --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE} AS operator
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
RUN --mount=type=bind,source=requirements,target=/requirements \
    python -m venv --without-pip /app \
    && pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --requirement /requirements/operator.txt
COPY --from=project /app /app
RUN --mount=type=bind,source=scripts/images,target=/images \
    mkdir -p /usr/share/rephrase \
    && /app/bin/python /images/sbom.py rephrase-operator > /usr/share/rephrase/sbom.cdx.json
ENV HOME=/tmp USER=rephrase PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["rephrase"]
CMD ["--help"]
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="rephrase-operator" \
      org.opencontainers.image.description="Runs RephraseJobs on Kubernetes." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"

# Suffix speculation for vLLM: arctic-inference (Snowflake, Apache-2.0), which PyPI has as source only. Its setup
# imports the PyTorch that it will run with, so it is built in the image that it is for, without isolation, with
# the nanobind that it asks for. Only its suffix decoding is compiled, which is C++ and needs no CUDA.
FROM ${VLLM_IMAGE} AS suffix-speculation
# Like every Debian package here they have the base image's versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ ninja-build \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,source=requirements,target=/requirements \
    python3 -m pip install --no-cache-dir --no-deps --require-hashes \
        --requirement /requirements/build.txt \
    && python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --require-hashes --wheel-dir /wheels \
        --requirement /requirements/suffix-speculation.txt

# vLLM's own image, of the release that requirements/worker-cpu.txt has for the CPU. Packages that vLLM and the
# worker share are changed to the locked versions, because the tests ran this vLLM with those.
# requirements/worker-cuda.txt proves that vLLM for CUDA and all that it needs allow them.
FROM ${VLLM_IMAGE} AS worker
RUN --mount=type=bind,source=requirements,target=/requirements \
    python3 -m pip install --no-cache-dir --no-deps --require-hashes --requirement /requirements/worker.txt
COPY --from=suffix-speculation /wheels /usr/share/rephrase/wheels
COPY --from=wheel /wheels /usr/share/rephrase/wheels
RUN --mount=type=bind,source=scripts/images,target=/images \
    python3 -m pip install --no-cache-dir --no-deps /usr/share/rephrase/wheels/*.whl \
    && python3 -c "from importlib.metadata import version; print('vLLM', version('vllm'))" \
    && python3 -c "from arctic_inference.suffix_decoding import SuffixDecodingCache" \
    && python3 /images/sbom.py rephrase-worker > /usr/share/rephrase/sbom.cdx.json
ENV HOME=/tmp USER=rephrase PYTHONUNBUFFERED=1
WORKDIR /
USER 10001:10001
ENTRYPOINT ["rephrase-worker"]
CMD ["--help"]
ARG VLLM_IMAGE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="rephrase-worker" \
      org.opencontainers.image.description="Plans, generates and finalizes the shards of a RephraseJob with vLLM on CUDA. Holds arctic-inference (Apache-2.0)." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${VLLM_IMAGE}"

# Each step is a layer of its own, the one that changes least first: a new version of this project is a download of
# one megabyte for a node that has the last one.
FROM ${PYTHON_IMAGE} AS worker-cpu
# torch.compile needs a compiler at run time. Like every Debian package here it has the base image's version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/*
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
RUN --mount=type=bind,source=requirements,target=/requirements \
    python -m venv --without-pip /app \
    && pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --extra-index-url https://download.pytorch.org/whl/cpu --requirement /requirements/torch.txt \
    && rm -r /app/lib/python3.*/site-packages/torch/test
RUN --mount=type=bind,source=requirements,target=/requirements \
    pip --python /app/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
        --requirement /requirements/worker-cpu.txt
COPY --from=project /app /app
RUN --mount=type=bind,source=scripts/images,target=/images \
    mkdir -p /usr/share/rephrase \
    && /app/bin/python /images/sbom.py rephrase-worker-cpu > /usr/share/rephrase/sbom.cdx.json
ENV HOME=/tmp USER=rephrase PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["rephrase-worker"]
CMD ["--help"]
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="rephrase-worker-cpu" \
      org.opencontainers.image.description="Plans, generates and finalizes the shards of a RephraseJob with vLLM on CPUs." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"

# The bill of materials of the image DESCRIBED as a file of its own: --target sbom --output FOLDER
FROM ${DESCRIBED} AS described

FROM scratch AS sbom
COPY --from=described /usr/share/rephrase/sbom.cdx.json /
