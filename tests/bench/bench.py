"""The base of all benchmarks: the rig, the size of a run, and the requests of a visitor."""

import itertools
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from .measure import Used, using
from .systems import Rig, Site, pids, visits

WARM = 16  # visitors before anything is measured


class Bench:
    """One run. `scale` shrinks or stretches every number of requests, mails and rows."""

    def __init__(self, rig: Rig, *, scale: float, rounds: int, backlog: int) -> None:
        self.rig, self.scale, self.rounds, self.backlog = rig, scale, rounds, backlog
        self.units: dict[str, float] = {}  # measured costs, the input of scale.py
        self._numbers = itertools.count()

    def size(self, number: int, least: int = 8) -> int:
        return max(least, round(number * self.scale))

    def names(self, number: int) -> list[str]:
        """Names that nobody had before."""
        return [f"visitor{next(self._numbers)}" for _ in range(number)]

    def visit(self, site: Site, names: Sequence[str], **options: Any) -> None:
        """New visitors open the page with the form; it is not measured."""
        if site.page:
            self.rig.load.run(site.port, "GET", site.page, visits(names), expect=200, **options)

    def sign_up(self, site: Site, names: Sequence[str], **options: Any) -> dict[str, Any]:
        """They send it."""
        fields = visits(names, **site.fields)
        return self.rig.load.run(site.port, "POST", site.path, fields, expect=site.created, **options)

    def sign_up_used(
        self, site: Site, names: Sequence[str], *running: "subprocess.Popen[bytes]", **options: Any
    ) -> tuple[dict[str, Any], Used]:
        """The same, with the processor time of the system and the servers it uses."""
        with using(pids(self.rig, *running)) as used:
            result = self.sign_up(site, names, **options)
        return result, used

    def open_verify(self, site: Site, names: Sequence[str]) -> None:
        """They open the page where the code is typed; it is not measured."""
        self.rig.load.run(site.port, "GET", site.verify_page, visits(names), expect=200)

    def verify(self, site: Site, codes: dict[str, str], names: Sequence[str], **options: Any) -> dict[str, Any]:
        """They type the codes that came to their addresses."""
        fields = [
            (name, {key: value.format(name, code=codes[f"{name}@example.com"]) for key, value in site.verify.items()})
            for name in names
        ]
        return self.rig.load.run(site.port, "POST", site.verify_page, fields, expect=site.verified, **options)

    def warm(self, stack: ExitStack, *sites: Site) -> dict[str, "subprocess.Popen[bytes]"]:
        """
        Start the webs of these sites, and let each serve WARM visitors, a few at a time: pools open, code compiles.
        Their mails stand before the worker that comes.
        """
        running = {site.name: stack.enter_context(site.web()) for site in sites}
        for site in sites:
            names = self.names(WARM)
            self.visit(site, names, clients=2)
            self.sign_up(site, names, clients=2)
        return running
