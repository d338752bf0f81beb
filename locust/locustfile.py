"""A load on Tidemark: by default 500 requests/s for 5 minutes, nine in ten of them POST /ingest and one GET /analyze.
Other shapes: --shape ramp, spike, soak. `npm run load` runs it and writes a report. By hand:

    locust -f locust/locustfile.py --headless --host http://127.0.0.1:8080

Run it in one process: it compares the verdicts with the samples that it sent, and each worker would know only a part.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from random import Random
from urllib.parse import urlencode

import gevent
from fleet import DEVICES_PER_USER, RATE_PER_USER, WatchedSample, Watch
from locust import LoadTestShape, events, task
from locust.contrib.fasthttp import FastHttpUser
from run import Run
from shapes import SHAPES
from thresholds import THRESHOLDS, missed

# A verdict is read this long after its sample, when it exists: the response time must not include the pipeline's latency.
READ_AFTER_MS = 500

# The verdicts that are not read at the end of the run are read afterwards, until there was none for this time.
REMAINING_DEADLINE_S = 30
REMAINING_WAIT_MS = 5000

# Users that start or stop per second. All at once: the shape determines how the load rises.
SPAWN_RATE = 10_000

# The first character of each line for the program that runs Locust.
MARK = "\x1e"

INGEST = "POST /ingest"
ANALYZE = "GET /analyze"
VERDICT = "GET /analyze?key=&after="


@events.init_command_line_parser.add_listener
def add_options(parser) -> None:
    group = parser.add_argument_group("Tidemark")
    shapes = "; ".join(f"{name}: {shape.about}" for name, shape in SHAPES.items())
    group.add_argument("--shape", choices=list(SHAPES), default="steady", env_var="LOAD_SHAPE", help=shapes)
    group.add_argument("--rps", type=float, default=500, env_var="LOAD_RPS", help="Maximum of requests per second (500)")
    group.add_argument("--seconds", type=float, default=None, env_var="LOAD_SECONDS", help="Duration; the default depends on the shape")
    group.add_argument("--seed", type=int, default=1, env_var="LOAD_SEED", help="Equal seeds send equal values (1)")
    devices = f"Devices per user, 1 to 100 ({DEVICES_PER_USER}); fewer devices report more often"
    group.add_argument("--devices", type=int, choices=range(1, 101), metavar="N", default=DEVICES_PER_USER, env_var="LOAD_DEVICES", help=devices)
    group.add_argument("--host-header", default="", env_var="HOST_HEADER", help="Host header of every request, for an ingress")
    group.add_argument("--report-json", action="store_true", env_var="LOAD_REPORT_JSON", help="Write progress and summary as lines of JSON")
    for threshold in THRESHOLDS:
        about = f"Threshold: {threshold.about} ({threshold.default:g})"
        group.add_argument(f"--{threshold.option}", type=float, default=threshold.default, help=about)


class Profile(LoadTestShape):
    """Converts the target rate to a number of users. Each makes RATE_PER_USER requests per second."""

    def tick(self):
        options = self.runner.environment.parsed_options
        shape = SHAPES[options.shape]
        rate = shape.rate(options.rps, options.seconds or shape.seconds, self.get_run_time())
        if rate is None:
            return None
        return max(1, round(rate / RATE_PER_USER)), SPAWN_RATE


class Device(FastHttpUser):
    """A site of devices: sends their reports in turn, and reads the verdicts of one series."""

    # Longer than the service's own timeouts, so that the service reports what is wrong.
    network_timeout = 30.0
    connection_timeout = 10.0

    def on_start(self) -> None:
        self.load: Run = self.environment.load_run
        self.site = self.load.fleet.take()
        self.headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **self.environment.load_headers}
        self.chance = Random(f"{self.load.seed}:pace:{self.site.number}")
        self.begin = time.monotonic()
        self.turns = 0
        self._plan()
        gevent.sleep(self.wait_time())

    def on_stop(self) -> None:
        self.load.fleet.give_back(self.site)

    def wait_time(self) -> float:
        return max(0.0, self.due - time.monotonic())

    @task
    def turn(self) -> None:
        self.load.late_ms.add(max(0.0, time.monotonic() - self.due) * 1000)
        self._plan()
        if self.site.is_query_turn():
            self._query()
        else:
            self._report()

    def _plan(self) -> None:
        """Plans the time of the next request. The rate does not depend on response times shorter than a turn: after a
        late request the next one follows at once. The time within a turn is random, so that users are not in step."""
        self.due = self.begin + (self.turns + self.chance.random()) / RATE_PER_USER
        self.turns += 1

    def _report(self) -> None:
        report = self.site.report(time.time_ns() // 1_000_000)
        watch = self.site.watch
        is_watched = report.device == watch.device
        body = watch.body(report) if is_watched else report.body()
        response = self._send(INGEST, "POST", "/ingest", 202, json.dumps(body))
        if response is None:
            return
        self.load.samples += response["accepted"]
        if is_watched:
            watch.accepted(report, response["receipts"])

    def _query(self) -> None:
        watch = self.site.watch
        watched = watch.take(time.time() * 1000 - READ_AFTER_MS)
        if watched is None:
            self._send(ANALYZE, "GET", "/analyze", 200)
            return
        analysis = self._send(VERDICT, "GET", path_of(watch, watched), 200)
        self.load.record_verdict(watch, watched, analysis or {}, time.monotonic() - self.environment.load_begin)

    def _send(self, route: str, method: str, path: str, wanted: int, body: str | None = None) -> dict | None:
        """Sends a request. Returns the body of the response, or None for a failure."""
        begin = time.perf_counter()
        name = route.partition(" ")[2]
        with self.client.request(method, path, name=name, data=body, headers=dict(self.headers), catch_response=True) as response:
            ms = (time.perf_counter() - begin) * 1000
            failure = None
            body_json = None
            if response.status_code != wanted:
                # Status 0: no response.
                failure = f"{response.status_code} {response.text or getattr(response, 'error', '')}"[:200]
            else:
                body_json = json.loads(response.content)
                if body_json.get("rejected"):
                    failure = f"rejected: {body_json['rejected'][0]['reason']}"[:200]
            self.load.record_response(route, ms, failure)
            if failure is not None:
                response.failure(failure)
                return None
            response.success()
            return body_json


def authorization() -> dict[str, str]:
    """The API key of every request. Not an option: other users of the computer see command lines."""
    key = os.environ.get("TIDEMARK_API_KEY", "")
    path = os.environ.get("TIDEMARK_API_KEY_FILE", "")
    if not key and path:
        with open(path, encoding="utf-8") as file:
            key = file.read().strip()
    return {"Authorization": f"Bearer {key}"} if key else {}


@events.test_start.add_listener
def begin(environment, **_) -> None:
    options = environment.parsed_options
    environment.load_headers = {**({"Host": options.host_header} if options.host_header else {}), **authorization()}
    environment.load_run = Run(options.shape, options.rps, options.seconds, options.seed, options.devices)
    environment.load_begin = time.monotonic()
    gevent.spawn(follow, environment, environment.load_run)


def follow(environment, run: Run) -> None:
    """Closes each second of the timeline and reports the progress."""
    second = 0
    while environment.load_run is run and second < run.seconds:
        second += 1
        gevent.sleep(max(0.0, environment.load_begin + second - time.monotonic()))
        row = run.end_second(second, environment.runner.user_count)
        emit(environment, "progress", {**row, "seconds": run.seconds})


@events.test_stop.add_listener
def read_remaining_verdicts(environment, **_) -> None:
    """Reads the verdicts on the last samples. These requests do not count as load."""
    run: Run = environment.load_run
    deadline = time.monotonic() + REMAINING_DEADLINE_S
    for watch in (site.watch for site in run.fleet.sites):
        while time.monotonic() < deadline and (watched := watch.take(time.time() * 1000)) is not None:
            url = f"{environment.host.rstrip('/')}{path_of(watch, watched)}&wait={REMAINING_WAIT_MS}"
            try:
                with urllib.request.urlopen(urllib.request.Request(url, headers=environment.load_headers), timeout=10) as response:
                    analysis = json.load(response)
                deadline = time.monotonic() + REMAINING_DEADLINE_S
            except (urllib.error.URLError, OSError, ValueError):
                analysis = {}
            run.record_verdict(watch, watched, analysis, time.monotonic() - environment.load_begin)


@events.quitting.add_listener
def judge(environment, **_) -> None:
    """Writes the summary and sets the exit code: 0 if no threshold was missed."""
    run: Run | None = getattr(environment, "load_run", None)
    if run is None:
        return
    options = vars(environment.parsed_options)
    limits = {threshold.name: options[threshold.name] for threshold in THRESHOLDS}
    summary = run.summary()
    summary["limits"] = limits
    summary["cpu_s"] = time.process_time()
    summary["missed"] = missed(summary, limits)
    # An exception here is not a failure of the service, but then the figures are not reliable.
    for exception in environment.runner.exceptions.values():
        summary["missed"].append(f"the load test itself failed: {exception['msg']}")
    emit(environment, "summary", summary)
    if not environment.parsed_options.report_json:
        print(sentence_of(summary["detection"]))
    for sentence in summary["missed"]:
        print(f"missed: {sentence}", file=sys.stderr)
    environment.process_exit_code = 1 if summary["missed"] else 0


def sentence_of(detection: dict) -> str:
    """Returns a sentence for a run by hand and for the log of a Job."""
    if not detection["anomalies"]:
        return f"{detection['verdicts']} verdicts, and none on a labelled anomaly yet"
    figures = {name: "none" if detection[name] is None else f"{detection[name]:.1%}" for name in ("precision", "recall")}
    delay = detection["delay_samples"]
    after = "" if delay is None else f", on average {delay:.1f} samples after their start"
    found = f"{detection['found']} of {detection['anomalies']} anomalies found{after}"
    return f"{detection['verdicts']} verdicts: precision {figures['precision']}, recall {figures['recall']}, {found}"


def path_of(watch: Watch, watched: WatchedSample) -> str:
    return f"/analyze?{urlencode({'key': watch.key, 'after': watched.receipt})}"


def emit(environment, kind: str, message: dict) -> None:
    if environment.parsed_options.report_json:
        print(f"{MARK}{json.dumps({'kind': kind, **message})}", flush=True)
