"""`rephrase upgrade-crds`: what the chart runs before an upgrade."""

from __future__ import annotations

import argparse
import asyncio
import sys

from rephrase_operator.commands.parsers import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "upgrade-crds",
        help="bring the cluster's CRDs up to this version's",
        description="Replace the cluster's CRD by that of this version, unless it is newer. The chart runs "
        "this before an upgrade, because Helm never changes a CRD. It needs get and update on the CRD.",
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    return asyncio.run(_upgrade())


async def _upgrade() -> int:
    from rephrase_operator.cluster import kube
    from rephrase_operator.cluster.crds import upgrade_crd
    from rephrase_operator.cluster.kube import ApiError, Kube

    async with await Kube.connect() as connection:
        try:
            print(await upgrade_crd(connection))
        except (ApiError, *kube.UNREACHABLE) as error:
            said = f"the CRD at {connection.server} was not upgraded: {kube.plainly(error)}"
            advice = (
                "`kubectl apply --server-side --force-conflicts -f crds/` does the same as an administrator"
            )
            print(f"rephrase upgrade-crds: {said}. {advice}", file=sys.stderr)
            return 1
    return 0
