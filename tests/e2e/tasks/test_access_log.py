"""https://istio.io/latest/docs/tasks/observability/logs/access-log/ and .../logs/telemetry-api/."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support.lab import Lab, eventually
from tests.support.samples import apply, available, curl, inject

pytestmark = pytest.mark.full

APPS = ("curl", "httpbin")
WRITTEN_WITHIN_S = 0.6
"""A proxy writes its log every 0.2 s."""

MESH_DEFAULT = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
DISABLE_CURL = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: disable-curl-logging, namespace: default}
spec:
  selector: {matchLabels: {app: curl}}
  accessLogging:
  - providers: [{name: envoy}]
    disabled: true
"""
DISABLE_HTTPBIN = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: disable-httpbin-logging, namespace: default}
spec:
  selector: {matchLabels: {app: httpbin}}
  accessLogging:
  - providers: [{name: envoy}]
    match: {mode: SERVER}
    disabled: true
"""
FILTER_CURL = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: filter-curl-logging, namespace: default}
spec:
  selector: {matchLabels: {app: curl}}
  accessLogging:
  - providers: [{name: envoy}]
    filter: {expression: response.code >= 500}
"""


@pytest.fixture(scope="module")
def httpbin(lab: Lab) -> Lab:
    lab.run("istioctl", "install", "--set", "profile=minimal", "-y")
    inject(lab)
    apply(lab, "httpbin/httpbin.yaml", "curl/curl.yaml")
    available(lab)
    return lab


def install(lab: Lab, *settings: str) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    lab.run("istioctl", "install", "--set", "profile=minimal", *given, "-y")


def logged(lab: Lab, marker: str, code: int = 418) -> dict[str, str]:
    """The lines of one request with a mark of its own in its path, by app, as far as they come in time."""
    curl(lab, "-o", "/dev/null", f"http://httpbin:8000/status/{code}?{marker}")
    end = time.monotonic() + WRITTEN_WITHIN_S
    while True:
        over = time.monotonic() > end
        found = {app: line for app in APPS if (line := written(lab, app, marker))}
        if over or len(found) == len(APPS):
            return found


def written(lab: Lab, app: str, marker: str) -> str:
    text = lab.kubectl("logs", "-l", f"app={app}", "-c", "istio-proxy", "--tail=50")
    return next((line for line in text.splitlines() if f"?{marker}" in line), "")


def apps(lab: Lab, marks: list[str], code: int = 418) -> set[str]:
    """Who logs a request now."""
    marks.append(f"mark-{len(marks)}-")
    return set(logged(lab, marks[-1], code))


def test_no_access_log_without_a_setting(httpbin: Lab) -> None:
    assert logged(httpbin, "none") == {}


def test_the_default_provider_logs_in_the_default_format(httpbin: Lab) -> None:
    httpbin.kubectl("apply", "-f", "-", stdin=MESH_DEFAULT)
    marks: list[str] = []
    eventually(lambda: apps(httpbin, marks) == {"curl", "httpbin"})
    lines = logged(httpbin, "format")
    for app, cluster in (
        ("curl", r"outbound\|8000\|\|httpbin\.default\.svc\.cluster\.local"),
        ("httpbin", r"inbound\|8080\|\|"),
    ):
        assert re.fullmatch(
            r'\[\S+Z\] "GET /status/418\?format HTTP/1\.1" 418 - via_upstream - "-" \d+ \d+ \d+ \d+ "\S*" "curl/\S+" '
            rf'"[-0-9a-f]{{36}}" "httpbin:8000" "[\d.]+:\d+" {cluster} \S+ \S+ \S+ \S+ default',
            lines[app],
        ), lines[app]


def test_a_workload_and_a_side_are_left_out(httpbin: Lab) -> None:
    marks: list[str] = ["w"]
    httpbin.kubectl("apply", "-f", "-", stdin=DISABLE_CURL)
    eventually(lambda: apps(httpbin, marks) == {"httpbin"})
    httpbin.kubectl("delete", "telemetry", "disable-curl-logging")
    httpbin.kubectl("apply", "-f", "-", stdin=DISABLE_HTTPBIN)
    eventually(lambda: apps(httpbin, marks) == {"curl"})
    httpbin.kubectl("delete", "telemetry", "disable-httpbin-logging")
    eventually(lambda: apps(httpbin, marks) == {"curl", "httpbin"})


def test_an_expression_filters(httpbin: Lab) -> None:
    marks: list[str] = ["e", "e"]
    httpbin.kubectl("apply", "-f", "-", stdin=FILTER_CURL)
    eventually(lambda: apps(httpbin, marks) == {"httpbin"})
    assert apps(httpbin, marks, 500) == {"curl", "httpbin"}
    httpbin.kubectl("delete", "telemetry", "-A", "--all")
    eventually(lambda: apps(httpbin, marks) == set())


def test_mesh_config_switches_it_on_as_text_or_json(httpbin: Lab) -> None:
    marks: list[str] = ["m", "m", "m"]
    install(httpbin, "meshConfig.accessLogFile=/dev/stdout", "meshConfig.accessLogFormat=own %PROTOCOL% %REQ(:PATH)%")
    eventually(lambda: apps(httpbin, marks) == {"curl", "httpbin"})
    assert logged(httpbin, "text")["curl"] == "own HTTP/1.1 /status/418?text"
    install(httpbin, "meshConfig.accessLogFile=/dev/stdout", "meshConfig.accessLogEncoding=JSON")
    eventually(lambda: logged(httpbin, "json-").get("curl", "").startswith("{"))
    line = json.loads(logged(httpbin, "json2")["curl"])
    assert (line["response_code"], line["path"], line["authority"]) == (418, "/status/418?json2", "httpbin:8000")
