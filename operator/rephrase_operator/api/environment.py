"""The environment variables that a job may set on its pods: an allow-list of exact names.

Somebody who may create a RephraseJob must not thereby be able to run code, or to read files and Secrets of
others. An allowed prefix such as HF_ can't ensure that. HF_TOKEN_PATH names a file that is sent to
HF_ENDPOINT as a token. HF_HOME is a folder whose file `token` is sent in the same way, and so is the file of
AWS_WEB_IDENTITY_TOKEN_FILE to AWS_ENDPOINT_URL. Each release of a library can add such names. So every name
is listed here, and a name belongs here only if it neither names a file or folder nor makes a library load
code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rephrase_operator.api.cel import Rule, Spec

Name = Annotated[str, Field(min_length=1, max_length=253)]

Variable = Literal[
    # S3: credentials, where it is, and how requests are made and tried again.
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_MAX_ATTEMPTS",
    "AWS_RETRY_MODE",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    # Google Cloud Storage. Credentials are the pod's workload identity: a key would have to be a file. Not
    # STORAGE_EMULATOR_HOST: that host would be sent the token of this identity.
    "GOOGLE_CLOUD_PROJECT",
    # Azure Blob Storage.
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ANON",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TENANT_ID",
    # The Hub. Not HF_HOME: the file `token` in that folder is sent as the token.
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_OFFLINE",
    "HF_XET_HIGH_PERFORMANCE",
    # How GPUs talk to each other. Not NCCL_CONF_FILE, NCCL_DEBUG_FILE or any *PLUGIN*.
    "NCCL_ALGO",
    "NCCL_BUFFSIZE",
    "NCCL_CROSS_NIC",
    "NCCL_CUMEM_ENABLE",
    "NCCL_DEBUG",
    "NCCL_DEBUG_SUBSYS",
    "NCCL_IB_DISABLE",
    "NCCL_IB_GID_INDEX",
    "NCCL_IB_HCA",
    "NCCL_IB_QPS_PER_CONNECTION",
    "NCCL_IB_RETRY_CNT",
    "NCCL_IB_SL",
    "NCCL_IB_TC",
    "NCCL_IB_TIMEOUT",
    "NCCL_MAX_NCHANNELS",
    "NCCL_MIN_NCHANNELS",
    "NCCL_NET_GDR_LEVEL",
    "NCCL_NTHREADS",
    "NCCL_NVLS_ENABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL",
    "NCCL_PROTO",
    "NCCL_SHM_DISABLE",
    "NCCL_SOCKET_FAMILY",
    "NCCL_SOCKET_IFNAME",
    "NCCL_SOCKET_NTHREADS",
    # Threads and memory of workers on CPUs.
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_CPU_NUM_OF_RESERVED_CPU",
    "VLLM_CPU_OMP_THREADS_BIND",
    # The simulated engine.
    "REPHRASE_SIMULATED_DIE_AFTER",
    "REPHRASE_SIMULATED_FAIL_EVERY",
    "REPHRASE_SIMULATED_HANG_AFTER",
    "REPHRASE_SIMULATED_OUTPUT_TOKENS",
    "REPHRASE_SIMULATED_STARTUP_SECONDS",
    "REPHRASE_SIMULATED_TOKEN_SECONDS",
]

CREDENTIALS_PREFIX = "rephrase-"
"""Somebody who can choose both a Secret and the endpoint that it is sent to can read the Secret. So jobs can
use only Secrets that are meant for them, which have names with this prefix.
"""

CREDENTIAL = "(SECRET|TOKEN|PASSWORD|_KEY|_CONNECTION_STRING)$"
"""Names of variables that hold credentials."""


class SecretKey(Spec):
    """One key of a Secret in the job's namespace."""

    rules = (
        Rule(
            f"self.name.startsWith('{CREDENTIALS_PREFIX}')",
            f"name must start with {CREDENTIALS_PREFIX}: jobs get at no other Secrets of the namespace",
            ".name",
        ),
    )

    name: Name = Field(description=f"The Secret's name. It starts with {CREDENTIALS_PREFIX}.")
    key: Name = Field(description="The key within the Secret.")


class EnvVar(Spec):
    """An environment variable of the job's pods. Only these names are allowed."""

    rules = (
        Rule(
            "has(self.value) != has(self.secretKeyRef)",
            "exactly one of value and secretKeyRef must be set",
        ),
        Rule(
            f"!has(self.value) || !self.name.matches('{CREDENTIAL}')",
            "value can't be used for a credential: put it into a Secret and name it in secretKeyRef",
            ".value",
        ),
        Rule(
            # It becomes the first part of a host name, to which the pod's token is sent.
            "self.name != 'AZURE_STORAGE_ACCOUNT_NAME' || !has(self.value) || "
            "self.value.matches('^[a-z0-9]{3,24}$')",
            "value of AZURE_STORAGE_ACCOUNT_NAME must be 3 to 24 lowercase letters and digits",
            ".value",
        ),
        Rule(
            # Endpoints, regions and paths are quoted in error messages, logs and statuses.
            f"!has(self.secretKeyRef) || self.name.matches('{CREDENTIAL}') || self.name.endsWith('_KEY_ID')",
            "secretKeyRef is for credentials only (*SECRET, *TOKEN, *PASSWORD, *_KEY, *_KEY_ID, "
            "*_CONNECTION_STRING): other variables are quoted in logs",
            ".secretKeyRef",
        ),
    )

    name: Variable = Field(
        description="Name of the variable: storage, the Hub, communication between GPUs, threads of CPUs."
    )
    value: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="Its value, in clear text."
    )
    secret_key_ref: SecretKey | None = Field(
        default=None, description="Takes the value from a Secret of the job's namespace."
    )
