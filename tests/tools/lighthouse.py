"""
`make lighthouse`: Lighthouse's scores of every page of the journey, and a scripted person's way to an account.

It starts Doorcode as production serves it, on a SQLite database, a Redis and a mail server of its own, on 127.0.0.1.
Lighthouse comes from npm into build/lighthouse, which also gets report.json, table.md and Lighthouse's own reports.
Exits with 1 if a page is below a goal. PUBLISH=1 puts the tables into docs/reference/pages.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from tests.bench.report import machine, replace
from tests.servers import CHROMIUM, ROOT, MailServer, Redis, System, Visitor, code_in, copy_image, free_port, link_in
from tests.tools.person import Person, Way

VERSION = "12.8.2"  # of Lighthouse: the last that runs on Node.js 18 and 20
BUILD = ROOT / "build" / "lighthouse"
GOALS = {"performance": 95, "accessibility": 100, "best-practices": 100}  # SEO is not measured: noindex is on purpose
RUNS = 3  # of a page that is below the goal of performance at first: another program may have slowed it
METRICS = {  # Lighthouse's name, ours, its decimals
    "first-contentful-paint": ("first paint, ms", 0),
    "largest-contentful-paint": ("largest paint, ms", 0),
    "total-blocking-time": ("blocked, ms", 0),
    "cumulative-layout-shift": ("layout shift", 3),
    "total-byte-weight": ("bytes", 0),
}
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PERSON = {"email": "person@example.com", "username": "person", "new-password": "correct horse b"}


@dataclass
class Measured:
    """A page, what Lighthouse gives it (0–100 by category), and the audits that keep it below a goal."""

    page: str
    scores: dict[str, int]
    metrics: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def misses(self) -> list[str]:
        """The categories below their goals."""
        return [name for name, goal in GOALS.items() if self.scores[name] < goal]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make lighthouse", description=__doc__)
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/reference/pages.md")
    given = parser.parse_args()
    if not shutil.which("npm") or not Path(CHROMIUM).exists():
        print(f"make lighthouse needs npm (Node.js 18.16 or newer) and {CHROMIUM}", file=sys.stderr)
        return 2
    install()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doorcode-lighthouse-")))
        image = folder / "image"
        image.mkdir()
        copy_image(image)
        redis, mail = stack.enter_context(Redis()), stack.enter_context(MailServer())
        database = f"sqlite:///{folder / 'db.sqlite3'}"
        system = System(database=database, redis=redis.url, mail=mail, logs=folder, folder=image, WEB_CONCURRENCY="2")
        stack.enter_context(system.run())
        pages = measure(system, folder / "profile")
        way = walk(system, folder / "person")  # on a site that is warm by now
    write(pages, way)
    print(f"\n{person_table(way)}\n\n{page_table(pages)}\n\nJSON and Lighthouse's own reports are in {BUILD}")
    if given.publish:
        publish()
    for each in pages:
        for fault in each.faults:
            print(f"{each.page}: {fault}", file=sys.stderr)
    return int(any(each.misses for each in pages))


def install() -> None:
    """Get Lighthouse from npm, unless it is there in its version."""
    package = BUILD / "node_modules" / "lighthouse" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == VERSION:
        return
    print(f"getting Lighthouse {VERSION} from npm …", flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(["npm", "install", *quiet, "--prefix", str(BUILD), f"lighthouse@{VERSION}"], check=True)


def walk(system: System, profile: Path) -> Way:
    """Have a person sign up in a new browser."""
    print("a person signs up …", flush=True)
    with browser(profile) as (context, _port):
        person = Person(context.new_page(), PERSON, lambda: system.mail.code(PERSON["email"]))
        return person.sign_up(f"{system.url}/signup/")


def visits(system: System) -> Iterator[tuple[str, str, Visitor]]:
    """Every page of the journey: its name, its path, and a visitor whose cookies open it."""
    nobody = Visitor(system.url)
    yield "sign up", "/signup/", nobody
    waiting = Visitor(system.url)
    waiting.post("/signup/", email="waiting@example.com")
    mail = system.mail.wait_for("waiting@example.com")
    yield "the code", "/signup/verify/", waiting
    yield "this wasn't me", link_in(mail, "/signup/mute/"), nobody
    waiting.get(link_in(mail))
    waiting.get("/signup/verify/")  # shows once that the link was opened
    yield "username and password", "/signup/verify/", waiting
    member = Visitor(system.url)
    member.post("/signup/", email="member@example.com")
    code = code_in(system.mail.wait_for("member@example.com"))
    member.post(
        "/signup/verify/", email="member@example.com", captcha=code, username="member", password="correct horse b"
    )
    member.get("/account/")
    yield "the account", "/account/", member
    yield "timed out", "/signup/verify/", nobody
    yield "sign in", "/login/", nobody
    yield "forgotten password", "/password-reset/", nobody


def measure(system: System, profile: Path) -> list[Measured]:
    """Run Lighthouse on every page, in one browser whose cookies are each time the visitor's."""
    pages = []
    with browser(profile) as (context, port):
        for name, path, visitor in visits(system):
            print(f"{name} …", end=" ", flush=True)
            cookies = [{"name": each.name, "value": each.value, "url": system.url} for each in visitor.session.cookies]
            runs: list[Measured] = []
            while not runs or ("performance" in runs[0].misses and len(runs) < RUNS):
                context.clear_cookies()
                context.add_cookies(cookies)  # type: ignore[arg-type]
                runs.append(lighthouse(name, f"{system.url}{path}", port))
            pages.append(typical(runs))
            print(*pages[-1].scores.values(), flush=True)
    return pages


@contextmanager
def browser(profile: Path) -> Generator[tuple[BrowserContext, int]]:
    """A Chromium whose cookies Playwright sets and whose pages Lighthouse opens, by the port."""
    port = free_port()
    with sync_playwright() as playwright:
        # No viewport of Playwright's: Lighthouse emulates a telephone.
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=[*FLAGS, f"--remote-debugging-port={port}"],
            locale="en",
            no_viewport=True,
        )
        yield context, port
        context.close()


def lighthouse(name: str, url: str, port: int) -> Measured:
    """Lighthouse's own defaults: a telephone of the middle class on slow 4G."""
    report = BUILD / f"{name.replace(' ', '-')}.json"
    command = [
        BUILD / "node_modules" / ".bin" / "lighthouse",
        url,
        f"--port={port}",
        f"--only-categories={','.join(GOALS)}",
        "--output=json",
        f"--output-path={report}",
        "--quiet",
    ]
    done = subprocess.run(command, env={**os.environ, "CHROME_PATH": CHROMIUM}, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"Lighthouse failed at {url}: {done.stderr}")
    return read(name, json.loads(report.read_text()), url)


def read(name: str, report: dict[str, Any], url: str) -> Measured:
    """The part of a report that is kept. An audit without weight is advice, not a fault."""
    if "runtimeError" in report:
        raise AssertionError(f"Lighthouse failed at {name}: {report['runtimeError']['message']}")
    if report["finalDisplayedUrl"] != url:
        raise AssertionError(f"{name}: {url} led to {report['finalDisplayedUrl']}")
    audits, categories = report["audits"], report["categories"]
    scores = {category: round(categories[category]["score"] * 100) for category in GOALS}
    missed = [categories[category] for category, goal in GOALS.items() if scores[category] < goal]
    weighed = [audits[ref["id"]] for each in missed for ref in each["auditRefs"] if ref["weight"]]
    return Measured(
        name,
        scores,
        {ours: round(audits[theirs]["numericValue"], places) for theirs, (ours, places) in METRICS.items()},
        [f"{each['title']} ({each['id']})" for each in weighed if each["score"] not in (None, 1)],
    )


def typical(runs: Sequence[Measured]) -> Measured:
    """The run with the median performance."""
    return sorted(runs, key=lambda run: run.scores["performance"])[len(runs) // 2]


def write(pages: Sequence[Measured], way: Way) -> None:
    """Write report.json and table.md."""
    BUILD.mkdir(parents=True, exist_ok=True)
    ran_on = machine()
    content = {
        "machine": ran_on,
        "lighthouse": VERSION,
        "goals": GOALS,
        "pages": [asdict(page) for page in pages],
        "person": {"seconds": way.seconds, **asdict(way)},
    }
    (BUILD / "report.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    said = f"{ran_on['at'][:10]}, Lighthouse {VERSION}, {ran_on['processors']} processors, load {ran_on['load']:.0f} at the end."
    (BUILD / "table.md").write_text(f"{said}\n\n{page_table(pages)}\n\n{person_table(way)}\n")


def page_table(pages: Sequence[Measured]) -> str:
    names = [*GOALS, *(ours for ours, _ in METRICS.values())]
    lines = [row("page", *names), row(*["---"] * (len(names) + 1))]
    for each in pages:
        metrics = (f"{each.metrics[name]:g}" for name, _ in METRICS.values())
        lines.append(row(each.page, *each.scores.values(), *metrics))
    return "\n".join(lines)


def person_table(way: Way) -> str:
    columns = ["shown", "filled", "keys", "clicks"]
    lines = [row("step", "fields shown", "fields filled", "keys", "clicks"), row(*["---"] * 5)]
    lines += [row(step.name, *(getattr(step, name) for name in columns)) for step in way.steps]
    lines.append(row("**all**", *(f"**{way.total(name)}**" for name in columns)))
    waits = f"{way.waited:.1f} s of them are waits for pages and the mail"
    lines += ["", f"The account is there after {way.seconds:.1f} s; {waits}."]
    return "\n".join(lines)


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def publish() -> None:
    """Put the tables of the last run into docs/, between the marks there."""
    replace(ROOT / "docs" / "reference" / "pages.md", "pages", (BUILD / "table.md").read_text())


if __name__ == "__main__":
    sys.exit(main())
