# One target for each image of this project:
#
#   docker build --target operator   -t rephrase-operator:0.1.0 .
#   docker build --target worker     -t rephrase-worker:0.1.0 .      # CUDA
#   docker build --target worker-cpu -t rephrase-worker-cpu:0.1.0 .
#
# They install requirements/*.txt with --no-deps: exactly the versions that the tests ran with. All of them run
# as user 10001 and need no writable root file system. kopf and torch ask for the name of the user. On clusters
# that choose the uid (OpenShift), /etc/passwd has no name for it, so the images set USER.

FROM python:3.11-slim-bookworm AS python
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

FROM python AS wheel
COPY requirements/lock.txt requirements/
RUN pip install --constraint requirements/lock.txt hatchling
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python AS operator-packages
RUN python -m venv --without-pip /app
COPY requirements/operator.txt requirements/
RUN pip --python /app/bin/python install --no-deps --requirement requirements/operator.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /app/bin/python install --no-deps /wheels/*.whl

FROM python AS worker-cpu-packages
RUN python -m venv --without-pip /app
COPY requirements/torch.txt requirements/worker-cpu.txt requirements/
RUN pip --python /app/bin/python install --no-deps \
        --extra-index-url https://download.pytorch.org/whl/cpu --requirement requirements/torch.txt \
    && pip --python /app/bin/python install --no-deps \
        --requirement requirements/worker-cpu.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /app/bin/python install --no-deps /wheels/*.whl

FROM python:3.11-slim-bookworm AS operator
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rephrase-operator" \
      org.opencontainers.image.description="Runs RephraseJobs on Kubernetes." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=operator-packages /app /app
ENV PATH=/app/bin:$PATH USER=rephrase PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["rephrase"]
CMD ["--help"]

# Suffix speculation for vLLM: arctic-inference (Snowflake, Apache-2.0), which PyPI has as source only. Its setup
# imports the PyTorch that it will run with, so it is built in the image that it is for, without isolation, with
# the nanobind that it asks for. Only its suffix decoding is compiled, which is C++ and needs no CUDA.
FROM vllm/vllm-openai:v0.32.0 AS suffix-speculation
# Like every Debian package here they have the base image's versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ ninja-build \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m pip install --no-cache-dir --no-deps nanobind==2.9.2 \
    && python3 -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels \
        arctic-inference==0.1.1

# vLLM's own image, of the release that requirements/worker-cpu.txt has for the CPU. Packages that vLLM and the
# worker share are changed to the locked versions, because the tests ran this vLLM with those.
FROM vllm/vllm-openai:v0.32.0 AS worker
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rephrase-worker" \
      org.opencontainers.image.description="Plans, generates and finalizes the shards of a RephraseJob with vLLM on CUDA. Holds arctic-inference (Apache-2.0)." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY requirements/worker.txt /usr/share/rephrase/
COPY --from=wheel /wheels /usr/share/rephrase/
COPY --from=suffix-speculation /wheels /usr/share/rephrase/
RUN python3 -m pip install --no-cache-dir --no-deps \
        --requirement /usr/share/rephrase/worker.txt /usr/share/rephrase/*.whl \
    && python3 -c "from importlib.metadata import version; print('vLLM', version('vllm'))" \
    && python3 -c "from arctic_inference.suffix_decoding import SuffixDecodingCache" \
    && useradd --uid 10001 --user-group --create-home rephrase
# vLLM, Triton and FlashInfer keep their compiled code in the home folder.
ENV HOME=/home/rephrase USER=rephrase PYTHONUNBUFFERED=1
WORKDIR /home/rephrase
USER 10001:10001
ENTRYPOINT ["rephrase-worker"]
CMD ["--help"]

FROM python:3.11-slim-bookworm AS worker-cpu
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rephrase-worker-cpu" \
      org.opencontainers.image.description="Plans, generates and finalizes the shards of a RephraseJob with vLLM on CPUs." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# torch.compile needs a compiler at run time. Like every Debian package here it has the base image's version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home rephrase
COPY --from=worker-cpu-packages /app /app
ENV HOME=/home/rephrase PATH=/app/bin:$PATH USER=rephrase PYTHONUNBUFFERED=1
WORKDIR /home/rephrase
USER 10001:10001
ENTRYPOINT ["rephrase-worker"]
CMD ["--help"]
