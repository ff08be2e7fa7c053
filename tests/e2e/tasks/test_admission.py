"""What real kubectl prints of resources that are refused, or taken with a warning.

https://istio.io/latest/docs/ops/common-problems/validation/
"""

from __future__ import annotations

import pytest

from tests.support.lab import Lab

pytestmark = pytest.mark.full


def applied(lab: Lab, manifest: str) -> tuple[int, str]:
    done = lab.run("kubectl", "apply", "-f", "-", stdin=manifest, check=False)
    return done.returncode, done.stdout + done.stderr


def virtual_service(spec: str) -> str:
    return f"{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: admitted}}, spec: {spec}}}"


def test_the_schema_and_its_rules(mesh: Lab) -> None:
    code, printed = applied(
        mesh, virtual_service("{hosts: [a], http: [{timeout: 0s, route: [{destination: {host: a}}]}]}")
    )
    assert code == 1
    assert printed == (
        'The VirtualService "admitted" is invalid: spec.http[0].timeout: Invalid value: "0s": '
        "must be a valid duration greater than 1ms\n"
    )
    code, printed = applied(
        mesh,
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {rules: [{backendRefs:"
        " [{name: a}], filters: [{type: RequestRedirect}]}]}}",
    )
    assert code == 1
    assert printed.splitlines() == [
        'The HTTPRoute "a" is invalid: ',
        "* spec.rules[0].backendRefs[0]: Invalid value: Must have port for Service reference",
        "* spec.rules[0].filters[0]: Invalid value: filter.requestRedirect must be specified for RequestRedirect filter.type",
    ]


def test_the_webhook_refuses(mesh: Lab) -> None:
    code, printed = applied(
        mesh,
        virtual_service("{hosts: [a], http: [{match: [{uri: {regex: 'a('}}], route: [{destination: {host: a}}]}]}"),
    )
    assert code == 1
    assert (
        'admission webhook "validation.istio.io" denied the request: configuration is invalid: "uri": error parsing '
        "regexp: missing closing ): `a(`; Istio uses RE2 style regex-based match "
        "(https://github.com/google/re2/wiki/Syntax)" in printed
    )


def test_the_webhook_warns(mesh: Lab) -> None:
    rules = "{route: [{destination: {host: a}}]}"
    code, printed = applied(mesh, virtual_service(f"{{hosts: [a], http: [{rules}, {rules}]}}"))
    assert code == 0
    assert "Warning: virtualService rule #1 not used (only the last rule can have no matches)" in printed
    assert "virtualservice.networking.istio.io/admitted created" in printed
    mesh.kubectl("delete", "virtualservice", "admitted")


def test_a_second_revision_leaves_the_default_validator_alone(mesh: Lab) -> None:
    def validated_by() -> str:
        return mesh.kubectl(
            "get",
            "validatingwebhookconfiguration",
            "istiod-default-validator",
            "-o",
            "jsonpath={.webhooks[0].clientConfig.service.name}",
        )

    assert validated_by() == "istiod"
    mesh.run("istioctl", "install", "--set", "profile=minimal", "--set", "revision=second", "-y")
    assert validated_by() == "istiod"
    mesh.run("istioctl", "uninstall", "--revision", "second", "-y")
    assert validated_by() == "istiod"
