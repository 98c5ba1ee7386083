"""The harness itself: figures that are wrong would look like any other."""

import json
import os
import smtplib
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest

from tests.bench import chart, report, scale
from tests.bench.cases.trips import counting
from tests.bench.load import Visitor
from tests.bench.measure import Figure, cpu_seconds, percentile, tree, using
from tests.bench.result import Goal, Row, ratio
from tests.bench.sink import sink
from tests.servers import ENVIRONMENT, ROOT, process


def test_a_percentile_is_a_value_that_was_measured():
    values = list(range(1, 101))
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7.0


def test_a_ratio_is_the_median_of_rounds_not_of_sums():
    row = ratio("x", [2.0, 30.0, 4.0], [1.0, 10.0, 1.0], Goal(most=3))
    assert row.value == Figure(3.0, 2.0, 4.0)
    assert row.reached


def test_the_floor_starts():
    """It has Doorcode's settings, some of which it changes."""
    floor = {"DEBUG": "true", "DATABASE_URL": "postgres://u:p@127.0.0.1/d", "FLOOR": "full"}
    environment = ENVIRONMENT | floor | {"DJANGO_SETTINGS_MODULE": "tests.bench.floor.settings"}
    subprocess.run(
        [sys.executable, "-c", "import core.wsgi"], cwd=ROOT, env=environment, check=True, capture_output=True
    )


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [(Goal(least=2), 1.9, False), (Goal(most=2), 1.9, True), (Goal(0.9, 1.1), 1.2, False), (Goal(0.9, 1.1), 1.0, True)],
)
def test_a_goal_holds_between_its_bounds(goal, value, reached):
    assert goal.holds(value) is reached


def test_processor_time_counts_children_that_live_and_that_have_ended():
    work = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {work!r}])\n{work}\nprint(flush=True)\ntime.sleep(60)"
    with process(sys.executable, "-c", parent, stdout=subprocess.PIPE) as running, running.stdout as said:
        said.readline()
        assert 0.6 <= cpu_seconds([running.pid]) < 6


def test_a_tree_holds_grandchildren():
    parent = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(flush=True); input()'])"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with process(sys.executable, "-c", parent, **pipes) as running, running.stdin, running.stdout as said:
        said.readline()
        assert len(tree([running.pid])) == 2


def test_idle_work_uses_time_and_no_processor():
    with using([os.getpid()]) as used:
        time.sleep(0.05)
    assert used.seconds >= 0.05
    assert used.cpu <= used.seconds


def test_a_visitor_sends_back_cookies_and_the_hidden_fields_of_that_form_alone():
    visitor = Visitor(1)
    page = (
        b'<form><input type="hidden" name="csrfmiddlewaretoken" value="secret"><input name="email"></form>'
        b'<form><input type="hidden" name="action" value="resend"></form>'
    )
    visitor.take((200, [("set-cookie", "csrftoken=abc; Path=/"), ("set-cookie", 'gone=""; Max-Age=0')], page))
    request = visitor.request("POST", "/signup/", {"email": "alice@example.com"}).decode()
    assert "Cookie: csrftoken=abc\r\n" in request
    assert request.endswith("csrfmiddlewaretoken=secret&email=alice%40example.com")


def test_the_sink_counts_mails_and_finds_codes():
    with sink() as server, smtplib.SMTP("127.0.0.1", server.port) as smtp:
        server.keep(r"^(\d{4})\r?$")
        begun = time.monotonic()
        smtp.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nhello\r\n1234\r\nbye\r\n")
        taken = server.state()
        server.reset()
        assert (taken.recipients, taken.codes) == (["b@example.com"], ["1234"])
        assert begun <= taken.times[0] <= time.monotonic()
        assert server.count() == 0


def test_a_round_trip_is_a_question_and_its_answer():
    with sink() as server, counting(server.port) as counter:
        with smtplib.SMTP("127.0.0.1", counter.port) as smtp:
            smtp.noop()
            smtp.noop()
        assert counter.trips in (2, 3)  # QUIT may be cut off


def test_the_report_says_what_was_reached(tmp_path):
    rows = [
        Row("fast enough", Figure(2.0, 1.9, 2.1), Goal(least=1.5)),
        Row("too <dear>", Figure(0.5, 0.4, 0.6), Goal(most=0.25)),
        Row("known", Figure(1.0, 1.0, 1.0)),
    ]
    report.write(tmp_path, {"case": rows}, {"unit": 1.0}, {"scale": 1})
    said = json.loads((tmp_path / "results.json").read_text())["cases"]["case"]
    assert [row["reached"] for row in said] == [True, False, None]
    assert "not reached" in report.table({"case": rows}).splitlines()[1]
    ElementTree.parse(tmp_path / "chart.svg")


def test_a_bar_points_to_the_side_of_the_goal_that_was_reached():
    assert chart.margin(4, Goal(least=2)) == 1
    assert chart.margin(4, Goal(most=2)) == -1
    assert chart.margin(0, Goal(most=0)) > 0
    assert chart.margin(2, Goal(most=0)) < 0
    assert chart.margin(1.2, Goal(0.9, 1.1)) < 0 < chart.margin(1.0, Goal(0.9, 1.1))


def test_ten_times_the_sign_ups_need_about_ten_times_the_processors():
    small, large = scale.need(100, scale.UNITS), scale.need(1_000, scale.UNITS)
    assert large.web_cores == pytest.approx(10 * small.web_cores)
    assert scale.need(0.001, scale.UNITS).web_processes == 2
