"""Upstream's samples in a lab, and what its tasks do with them again and again."""

from __future__ import annotations

import re
from collections import Counter

from tests.support.lab import Lab

GATEWAY = "http://istio-ingressgateway.istio-system"
STAR = "glyphicon glyphicon-star"
COLOR = re.compile(r'<font color="(\w+)">')


def inject(lab: Lab, namespace: str = "default") -> None:
    """Have the pods of a namespace get sidecars."""
    lab.kubectl("label", "namespace", namespace, "istio-injection=enabled", "--overwrite")


def apply(lab: Lab, *files: str, namespace: str = "default") -> str:
    """Apply files of the samples folder; what kubectl said."""
    samples = lab.environment["MESHLAB_SAMPLES"]
    wanted = [part for file in files for part in ("-f", f"{samples}/{file}")]
    return lab.kubectl("apply", "-n", namespace, *wanted)


def available(lab: Lab, namespace: str = "default") -> None:
    """Wait until all deployments of a namespace are there."""
    lab.kubectl("wait", "-n", namespace, "--for=condition=Available", "deployment", "--all", "--timeout=55s")


def deploy_bookinfo(lab: Lab) -> None:
    """Bookinfo behind the ingress gateway, with its subsets, and a client."""
    inject(lab)
    apply(
        lab,
        "bookinfo/platform/kube/bookinfo.yaml",
        "curl/curl.yaml",
        "bookinfo/networking/bookinfo-gateway.yaml",
        "bookinfo/networking/destination-rule-all.yaml",
    )
    available(lab)


def curl(lab: Lab, *arguments: str, check: bool = True) -> str:
    """curl in the curl sample's pod."""
    return lab.run("kubectl", "exec", "deploy/curl", "-c", "curl", "--", "curl", "-sS", *arguments, check=check).stdout


def page(lab: Lab, user: str = "") -> str:
    """The product page as somebody sees it."""
    if not user:
        return curl(lab, f"{GATEWAY}/productpage")
    jar = f"/tmp/{user}.jar"
    curl(lab, "-c", jar, "-o", "/dev/null", "-d", f"username={user}&passwd=x", f"{GATEWAY}/login")
    return curl(lab, "-b", jar, f"{GATEWAY}/productpage")


def colors(lab: Lab, requests: int) -> Counter[str]:
    """The star colours of so many pages; ``none`` for pages without stars."""
    out = curl(lab, f"{GATEWAY}/productpage?n=[1-{requests}]")
    pages = out.split("<!DOCTYPE html>")[1:]
    assert len(pages) == requests
    found = [COLOR.search(text) for text in pages]
    return Counter(match[1] if match else "none" for match in found)
