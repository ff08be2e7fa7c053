"""Upstream's task "Trust Domain Migration": without aliases policies stop to match, with them they match again."""

from __future__ import annotations

import pytest

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import status

pytestmark = pytest.mark.full

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: service-httpbin.default.svc.cluster.local
  namespace: default
spec:
  rules:
  - from:
    - source:
        principals:
        - old-td/ns/curl-allow/sa/curl
    to:
    - operation:
        methods:
        - GET
  selector:
    matchLabels:
      app: httpbin
---
"""
ALIASES = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    trustDomain: new-td
    trustDomainAliases:
      - old-td
"""
URL = "http://httpbin.default:8000/ip"


@pytest.fixture(scope="module")
def apps(lab: Lab) -> Lab:
    lab.run("istioctl", "install", "--set", "profile=demo", "--set", "meshConfig.trustDomain=old-td", "-y")
    samples = lab.environment["MESHLAB_SAMPLES"]
    lab.kubectl("create", "namespace", "curl-allow")
    for namespace in ("default", "curl-allow"):
        lab.kubectl("label", "namespace", namespace, "istio-injection=enabled")
        lab.kubectl("apply", "-n", namespace, "-f", f"{samples}/curl/curl.yaml")
    lab.kubectl("apply", "-f", f"{samples}/httpbin/httpbin.yaml")
    ready(lab)
    lab.kubectl("apply", "-f", "-", stdin=POLICY)
    return lab


def ready(lab: Lab) -> None:
    for namespace, name in (("default", "httpbin"), ("default", "curl"), ("curl-allow", "curl")):
        lab.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=60s")


def statuses(lab: Lab) -> tuple[str, str]:
    return status(lab, "default", URL), status(lab, "curl-allow", URL)


def test_migration(apps: Lab) -> None:
    eventually(lambda: statuses(apps) == ("403", "200"))
    apps.run("istioctl", "install", "--set", "profile=demo", "--set", "meshConfig.trustDomain=new-td", "-y")
    apps.kubectl("rollout", "restart", "deployment", "-n", "istio-system", "istiod")
    apps.kubectl("rollout", "status", "deployment", "-n", "istio-system", "istiod", "--timeout=40s")
    apps.kubectl("delete", "pod", "--all")
    apps.kubectl("delete", "pod", "--all", "-n", "curl-allow")
    ready(apps)
    eventually(lambda: statuses(apps) == ("403", "403"))
    file = apps.home / "td-installation.yaml"
    file.write_text(ALIASES)
    apps.run("istioctl", "install", "--set", "profile=demo", "-f", str(file), "-y")
    eventually(lambda: statuses(apps) == ("403", "200"))
