"""Token policies as Envoy's jwt_authn: a token that is there must be good, one that is missing is no matter."""

from __future__ import annotations

from collections.abc import Mapping

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.claims import JWT_FILTER, JWT_PAYLOAD
from meshlab.minicluster.mesh.envoy.filters import HTTP
from meshlab.minicluster.mesh.envoy.vocabulary import extension
from meshlab.minicluster.mesh.model import Mesh, matches
from meshlab.minicluster.mesh.policy import JwtRule

SPACE_DELIMITED = frozenset({"permission", "scope"})

NO_KEYS = (
    '{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"not-fetched",'
    '"x":"tXv9IH_4b3QOz3-AxtszQ91xg1yyzlouDbw4TFu4Sx4","y":"j43odLk3ChwBCoPqnZ54GbAjd_7EmxqojzxX6B4Grbc"}]}'
)
"""Stands for keys that could not be fetched: a valid set that no token is signed with, so that all are refused."""


def jwt_filters(mesh: Mesh, namespace: str, labels: Mapping[str, str], *, gateway: bool) -> list[Obj]:
    """The filter for the policies that apply to a workload; none without policies.

    Args:
        mesh: the model.
        namespace: the workload's namespace.
        labels: the workload's labels.
        gateway: whether routes may depend on claims.
    """
    rules = [
        rule
        for policy in mesh.jwt_policies
        if policy.namespace in ("", namespace) and matches(policy.selector, labels)
        for rule in policy.rules
    ]
    if not rules:
        return []
    rules.sort(key=lambda rule: rule.issuer)
    providers = {f"origins-{number}": _provider(rule, gateway=gateway) for number, rule in enumerate(rules)}
    named: list[Obj] = [{"provider_name": name} for name in providers]
    optional: list[Obj] = [{"requires_any": {"requirements": [each, {"allow_missing": {}}]}} for each in named]
    if len(optional) == 1:
        requirement = optional[0]
    else:
        # One good token will do: several issuers may look for theirs in the same place.
        requirement = {"requires_any": {"requirements": [*named, {"requires_all": {"requirements": optional}}]}}
    return [
        extension(
            JWT_FILTER,
            HTTP + "jwt_authn.v3.JwtAuthentication",
            providers=providers,
            rules=[{"match": {"prefix": "/"}, "requires": requirement}],
            bypass_cors_preflight=True,
        )
    ]


def _provider(rule: JwtRule, *, gateway: bool) -> Obj:
    provider: Obj = {
        "issuer": rule.issuer,
        "local_jwks": {"inline_string": rule.jwks or NO_KEYS},
        "payload_in_metadata": JWT_PAYLOAD,
        "normalize_payload_in_metadata": {
            "space_delimited_claims": sorted({*SPACE_DELIMITED, *rule.space_delimited_claims})
        },
    }
    if rule.audiences:
        provider["audiences"] = list(rule.audiences)
    if rule.forward:
        provider["forward"] = True
    if rule.payload_header:
        provider["forward_payload_header"] = rule.payload_header
    if rule.claim_headers:
        provider["claim_to_headers"] = [{"header_name": h, "claim_name": claim} for h, claim in rule.claim_headers]
    if rule.from_headers:
        provider["from_headers"] = [
            {"name": name, **({"value_prefix": prefix} if prefix else {})} for name, prefix in rule.from_headers
        ]
    if rule.from_params:
        provider["from_params"] = list(rule.from_params)
    if rule.from_cookies:
        provider["from_cookies"] = list(rule.from_cookies)
    if gateway:
        provider["clear_route_cache"] = True
    return provider
