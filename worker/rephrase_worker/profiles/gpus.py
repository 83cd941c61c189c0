"""The GPUs whose memory and bandwidth are known, and which of them a job runs on.

Generating tokens reads all active weights in every step, so it is bound by memory bandwidth, and a figure
measured on one GPU is scaled to another one by the ratio of their bandwidths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Label that NVIDIA's GPU operator puts on nodes, such as NVIDIA-H100-80GB-HBM3."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A kind of GPU."""

    name: str
    memory_gib: float
    """What nvidia-smi shows as its memory; a little less than the name says."""
    gb_per_second: int
    """Memory bandwidth in 10^9 bytes per second."""
    aliases: tuple[str, ...]
    """Other names, in the form of `_plain`."""


# Bandwidths are those of NVIDIA's data sheets (H100 with SXM, PCIe and NVL, H200, HGX B200, A100, L40S, L4,
# A10), of its white paper on the Ada architecture (RTX 4090), and of AWS (A10G, in its G5 instances).
_KNOWN = (
    Gpu(
        name="H100-80GB",
        memory_gib=79.6,
        gb_per_second=3350,
        aliases=("h100", "h100-80gb-hbm3", "h100-sxm", "h100-sxm5", "h100-sxm5-80gb", "h100-sxm-80gb"),
    ),
    Gpu(
        name="H100-PCIe",
        memory_gib=79.6,
        gb_per_second=2039,
        aliases=("h100-pcie-80gb", "h100-80gb-pcie"),
    ),
    Gpu(name="H100-NVL", memory_gib=93.6, gb_per_second=3900, aliases=("h100-nvl-94gb",)),
    Gpu(
        name="H200",
        memory_gib=140.4,
        gb_per_second=4800,
        aliases=("h200-141gb", "h200-sxm", "h200-sxm5", "h200-141gb-hbm3e", "h200-nvl"),
    ),
    Gpu(name="B200", memory_gib=179.0, gb_per_second=8000, aliases=("b200-180gb", "b200-180gb-hbm3e")),
    Gpu(
        name="A100-80GB",
        memory_gib=80.0,
        gb_per_second=2039,
        aliases=("a100-sxm4-80gb", "a100-sxm-80gb", "a100-80gb-sxm"),
    ),
    Gpu(
        name="A100-80GB-PCIe",
        memory_gib=80.0,
        gb_per_second=1935,
        aliases=("a100-pcie-80gb",),
    ),
    Gpu(
        name="A100-40GB",
        memory_gib=40.0,
        gb_per_second=1555,
        aliases=("a100-sxm4-40gb", "a100-sxm-40gb", "a100-pcie-40gb", "a100-40gb-pcie"),
    ),
    Gpu(name="L40S", memory_gib=45.0, gb_per_second=864, aliases=("l40s-48gb",)),
    Gpu(name="L4", memory_gib=22.5, gb_per_second=300, aliases=("l4-24gb",)),
    Gpu(name="A10G", memory_gib=22.5, gb_per_second=600, aliases=("a10g-24gb",)),
    Gpu(name="A10", memory_gib=22.5, gb_per_second=600, aliases=("a10-24gb",)),
    Gpu(name="RTX-4090", memory_gib=24.0, gb_per_second=1008, aliases=("geforce-rtx-4090", "4090")),
)

GPUS: Mapping[str, Gpu] = {gpu.name: gpu for gpu in _KNOWN}
"""Every known GPU by name."""

ASSUMED = GPUS["H100-80GB"]
"""What a job is taken to run on when nothing says."""


class UnknownGpuError(ValueError):
    """`worker.gpu` names no known GPU."""


@dataclass(frozen=True)
class GpuChoice:
    """The GPU that a job runs on, as far as it is known."""

    gpu: Gpu | None
    """None: on CPUs, or on a GPU of which nothing is known."""
    name: str
    """For the status."""
    why: str
    """A sentence."""

    @property
    def on_cpu(self) -> bool:
        """True if the workers have no GPU at all."""
        return self.name == ON_CPU


ON_CPU = "CPU"
"""Name of the choice on CPUs."""


def choose_gpu(
    asked: str | None, node_selector: Mapping[str, str] | None = None, *, accelerated: bool = True
) -> GpuChoice:
    """The GPU of a job: `worker.gpu`, or what its nodeSelector asks for, or an H100 that is assumed.

    Raises UnknownGpuError when `asked` is not known. A product of the nodeSelector that is not known is no
    error, because the job can run there: there is just nothing to compute with.
    """
    if not accelerated:
        return GpuChoice(None, ON_CPU, "The workers run on CPUs.")
    if asked:
        gpu = _find(asked)
        if gpu is None:
            raise UnknownGpuError(
                f"worker.gpu: {asked} is not a known GPU. Known are {', '.join(GPUS)}. Give the one that is "
                "most like it, or leave worker.gpu out."
            )
        return GpuChoice(gpu, gpu.name, f"The GPU is {gpu.name}, as worker.gpu says.")
    product = (node_selector or {}).get(PRODUCT_LABEL)
    if product:
        gpu = _find(product)
        if gpu is None:
            why = (
                f"The GPU {product} of worker.nodeSelector is not known, so nothing is expected of it: "
                "set worker.gpu to the one that is most like it."
            )
            return GpuChoice(None, product, why)
        return GpuChoice(gpu, gpu.name, f"The GPU is {gpu.name}, as worker.nodeSelector says.")
    why = f"The GPU is assumed to be {ASSUMED.name}: set worker.gpu if it is another one."
    return GpuChoice(ASSUMED, ASSUMED.name, why)


def _find(text: str) -> Gpu | None:
    """The GPU of this name. Nothing is left over: a MIG slice or a shared GPU is none of those known."""
    plain = _plain(text)
    return next((gpu for gpu in _KNOWN if plain == _plain(gpu.name) or plain in gpu.aliases), None)


def _plain(text: str) -> str:
    """`NVIDIA H100 80GB HBM3` and `nvidia-h100-80gb-hbm3` are one name: h100-80gb-hbm3."""
    words = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
    return words.removeprefix("nvidia-").removeprefix("tesla-")
