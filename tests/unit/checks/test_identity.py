from __future__ import annotations

import json
from typing import Any

import pytest

from checks import identity
from meshlab.grading.registry import Registry
from tests.fakes.cluster import ObjectCluster, named, pod
from tests.unit.checks.support import SHOP, brief, curl_replies, verdict

ME = "spiffe://cluster.local/ns/shop/sa/client"
SERVER = "spiffe://cluster.local/ns/shop/sa/web"
XFCC = f'By={SERVER};Hash=ab12;Subject="";URI={ME}'
URL = "http://web/headers"


def headers(**values: Any) -> str:
    return json.dumps({"headers": {name.replace("_", "-"): value for name, value in values.items()}}, indent=2)


def shop(body: str, status: str = "200", *, sidecar: bool = True, answer: str = "") -> ObjectCluster:
    answers = [named("meshlab-answers-canary", SHOP, data={"seen": answer})] if answer else []
    return ObjectCluster(
        {"pods": [pod("client-1", SHOP, "client", sidecar=sidecar)], "configmaps": answers},
        on_exec=lambda namespace, name, command: curl_replies(command, {"": (body, status, "0")}),
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (headers(X_Forwarded_Client_Cert=[XFCC]), {"by": SERVER, "uri": ME}),
        (headers(x_forwarded_client_cert=XFCC), {"by": SERVER, "uri": ME}),
        # A gateway in between appends an element; the receiver's own sidecar wrote the last one.
        (headers(X_Forwarded_Client_Cert=[f"By=spiffe://a;URI=spiffe://b,{XFCC}"]), {"by": SERVER, "uri": ME}),
        (headers(Host=["web"]), {}),
        ("no healthy upstream", {}),
        ("[]", {}),
        ('{"headers": null}', {}),
    ],
)
def test_what_the_receiver_saw_is_read_from_its_headers(body: str, found: dict[str, str]) -> None:
    assert identity.seen(body) == found


@pytest.mark.parametrize(
    ("cluster", "expected", "why"),
    [
        (shop(headers(X_Forwarded_Client_Cert=[XFCC])), ("PASS", "identity.seen", "observed"), ""),
        (
            shop(headers(X_Forwarded_Client_Cert=[XFCC.replace("cluster.local", "example.org")])),
            ("PASS", "identity.seen", "observed"),
            "",
        ),
        (shop("x", "503"), ("PENDING", "identity.not-served", "observed"), "before the request is served"),
        (shop(headers()), ("FAIL", "identity.none", "observed"), "the receiver is the one without"),
        (shop(headers(), sidecar=False), ("FAIL", "identity.none", "observed"), "the pod of client has no sidecar"),
        (
            shop(headers(X_Forwarded_Client_Cert=[XFCC + "-2"])),
            ("FAIL", "identity.other", "observed"),
            "ServiceAccount",
        ),
        (ObjectCluster(), ("PENDING", "client.missing", "declared"), "gone"),
    ],
)
def test_the_receiver_sees_the_client(
    registry: Registry, cluster: ObjectCluster, expected: tuple[str, str, str], why: str
) -> None:
    judged = verdict(registry, "istio.identity", cluster, **{"from": "client", "url": URL})
    assert brief(judged) == expected
    assert why in judged.why


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", ("FAIL", "answer.missing", "declared")),
        (ME, ("PASS", "answer.right", "observed")),
        (f' "{ME}"\n', ("PASS", "answer.right", "observed")),
        (ME.removeprefix("spiffe://"), ("FAIL", "answer.no-scheme", "observed")),
        (SERVER, ("FAIL", "answer.receivers-own", "observed")),
        ("spiffe://cluster.local/ns/shop/sa/default", ("FAIL", "answer.other-identity", "observed")),
    ],
)
def test_an_answer_is_held_against_what_is_seen_now(
    registry: Registry, answer: str, expected: tuple[str, str, str]
) -> None:
    cluster = shop(headers(X_Forwarded_Client_Cert=[XFCC]), answer=answer)
    params = {"task": "seen", "from": "client", "url": URL}
    assert brief(verdict(registry, "answer.identity", cluster, **params)) == expected


def test_an_answer_cannot_be_right_while_nothing_is_seen(registry: Registry) -> None:
    params = {"task": "seen", "from": "client", "url": URL}
    judged = verdict(registry, "answer.identity", shop(headers(), answer=ME), **params)
    assert brief(judged) == ("PENDING", "answer.nothing-seen", "observed")
    gone = shop(headers(), answer=ME)
    gone.delete("pods", "client-1", SHOP)
    assert verdict(registry, "answer.identity", gone, **params).code == "client.missing"
