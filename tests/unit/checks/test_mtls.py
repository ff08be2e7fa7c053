from __future__ import annotations

from typing import Any

import pytest

from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, named, pod
from tests.unit.checks.support import SHOP, brief, curl_replies, verdict

WEB, DB = "http://web.shop/status/200", "http://db.shop/"
PARAMS = {"permitted": "client", "forbidden": "legacy", "urls": [WEB, DB]}
SERVED, RESET, DENIED = ("", "200", "0"), ("", "000", "56"), ("", "403", "0")
Reply = tuple[str, str, str]
Objects = dict[str, list[dict[str, Any]]]


def shop(
    forbidden: dict[str, Reply], objects: Objects | None = None, *, permitted: dict[str, Reply] | None = None
) -> ObjectCluster:
    replies = {"client-1": permitted or {"": SERVED}, "legacy-1": forbidden}
    return ObjectCluster(
        {
            "pods": [pod("client-1", SHOP, "client", sidecar=True), pod("legacy-1", SHOP, "legacy")],
            "services": [named(name, SHOP, spec={"selector": {"app": name}}) for name in ("web", "db")],
            **(objects or {}),
        },
        on_exec=lambda namespace, name, command: curl_replies(command, replies[name]),
    )


def peer(mode: str, namespace: str = SHOP, **selects: str) -> Objects:
    spec: dict[str, Any] = {"mtls": {"mode": mode}}
    if selects:
        spec["selector"] = {"matchLabels": selects}
    obj = named("default", namespace, spec=spec) | {"kind": "PeerAuthentication"}
    return {"peerauthentications.security.istio.io": [obj]}


MUTUAL = named("mutual", SHOP, spec={"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}) | {"kind": "DestinationRule"}
RULES = {"destinationrules.networking.istio.io": [MUTUAL]}


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (shop({"": RESET}, peer("STRICT")), ("PASS", "mtls.strict", "observed")),
        # Only the effect decides; which resource brought it does not.
        (shop({"": RESET}), ("PASS", "mtls.strict", "observed")),
        (shop({"": SERVED}), ("FAIL", "mtls.plaintext-accepted", "declared")),
        (shop({"": SERVED}, peer("PERMISSIVE")), ("FAIL", "mtls.plaintext-accepted", "declared")),
        (shop({"": SERVED}, RULES), ("FAIL", "mtls.client-side-only", "declared")),
        (shop({"": DENIED}), ("FAIL", "mtls.plaintext-denied", "observed")),
        (shop({"web": RESET, "db": SERVED}, peer("STRICT", app="web")), ("FAIL", "mtls.one-workload", "accepted")),
        (shop({"": SERVED}, peer("STRICT")), ("PENDING", "mtls.not-effective", "accepted")),
        (shop({"": SERVED}, peer("STRICT", "istio-system")), ("PENDING", "mtls.not-effective", "accepted")),
        (shop({"web": SERVED}, peer("STRICT", app="web")), ("PENDING", "mtls.not-effective", "accepted")),
        (shop({"": ("", "000", "7")}, peer("STRICT")), ("PENDING", "mtls.not-reset", "observed")),
        (shop({"": ("", "000", "28")}, peer("STRICT")), ("PENDING", "mtls.not-reset", "observed")),
        (
            shop({"": RESET}, peer("STRICT"), permitted={"": ("", "503", "0")}),
            ("PENDING", "mtls.meshed-refused", "observed"),
        ),
        (ObjectCluster(), ("PENDING", "client.missing", "declared")),
    ],
)
def test_both_calls_decide(registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str]) -> None:
    params = PARAMS | ({"urls": [WEB]} if expected[1] == "mtls.not-effective" else {})
    assert brief(verdict(registry, "mtls.strict", cluster, **params)) == expected


def test_one_served_connection_of_three_is_too_many(registry: Registry) -> None:
    answers = iter(["000", "200", "000"] * 2)

    def curl(namespace: str, name: str, command: list[str]) -> str:
        if name == "client-1":
            return curl_replies(command, {"": SERVED})
        mark = command[command.index("--write-out") + 1].replace("\\n", "\n")
        said = [next(answers) for word in command if word.startswith("http")]
        return "".join(mark.replace("%{http_code}", status).replace("%{exitcode}", "56") for status in said)

    cluster = shop({})
    cluster.on_exec = curl
    assert verdict(registry, "mtls.strict", cluster, **PARAMS).code == "mtls.plaintext-accepted"


def test_a_client_side_rule_is_named_when_the_meshed_client_fails(registry: Registry) -> None:
    judged = verdict(registry, "mtls.strict", shop({"": RESET}, RULES, permitted={"": ("", "503", "0")}), **PARAMS)
    assert "tells it not to use mutual TLS" in judged.why
