"""`ddb doctor`: is this machine ready?"""

import typer
from rich.text import Text

from ray_jobs.cli.arguments import STORE, StoreOption
from ray_jobs.output import out

EXAMPLE = "ddb doctor"
COLORS = {"ok": "green", "note": "yellow", "FAIL": "red"}


def doctor(store: StoreOption = STORE) -> None:
    """Check versions, devices, memory, store, data and Ray; exit code 1 when something is wrong."""
    from ray_jobs.doctor import checks

    failed = False
    for check in checks(str(store)):
        out.print(Text(f"{check.status:4}", COLORS[check.status]).append(f" {check.name:22} {check.detail}", "default"))
        failed |= check.status == "FAIL"
    raise typer.Exit(1 if failed else 0)
