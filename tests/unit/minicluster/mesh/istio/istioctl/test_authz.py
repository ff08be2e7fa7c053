"""The table of enforced policies, out of a config dump."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshlab.minicluster.mesh.istio.istioctl import main

HTTP = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
NETWORK = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def rbac(kind: str, policies: list[str], action: str = "") -> dict[str, Any]:
    rules: dict[str, Any] = {"policies": {name: {} for name in policies}} if policies else {}
    return {"typed_config": {"@type": kind, "rules": rules | ({"action": action} if action else {})}}


def dump(*filters: dict[str, Any]) -> str:
    address = {"socket_address": {"address": "0.0.0.0", "port_value": 15006}}
    listener = {"name": "virtualInbound", "address": address, "filter_chains": [{"filters": list(filters)}]}
    section = {
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        "dynamic_listeners": [{"name": "virtualInbound", "active_state": {"listener": listener}}],
    }
    return json.dumps({"configs": [section]})


def test_policies_are_listed_by_action_with_their_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dump.json"
    in_http = [
        rbac(HTTP, ["ns[foo]-policy[deny-post]-rule[0]", "ns[foo]-policy[deny-post]-rule[1]"], "DENY"),
        rbac(HTTP, ["ns[foo]-policy[viewer]-rule[0]", "ns[istio-system]-policy[all]-rule[0]"]),
    ]
    dry_run = {"typed_config": {"@type": HTTP, "shadow_rules": {"action": "DENY"}}}
    manager = {"typed_config": {"@type": MANAGER, "http_filters": [*in_http, dry_run]}}
    file.write_text(dump(rbac(NETWORK, ["ns[foo]-policy[viewer]-rule[1]"]), manager))
    assert main(["x", "authz", "check", "-f", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ACTION   AuthorizationPolicy         RULES",
        "DENY     deny-post.foo               2",
        "ALLOW    _anonymous_match_nothing_   1",
        "ALLOW    all.istio-system            1",
        "ALLOW    viewer.foo                  2",
    ]


def test_a_proxy_without_policies_has_an_empty_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dump.json"
    file.write_text(dump())
    assert main(["x", "authz", "check", "--file", str(file)]) == 0
    assert capsys.readouterr().out == "ACTION   AuthorizationPolicy   RULES\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["check"], 64, "requires pod name or --file"),
        (["look"], 64, 'unknown command "look"'),
        (["check", "-f", "/nowhere"], 1, "could not read /nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["experimental", "authz", *words]) == code
    assert text in capsys.readouterr().err
