"""RequestAuthentication: which tokens a workload's routes accept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import Problems, boolean, created, mapping, objects, text, texts
from meshlab.minicluster.mesh.istio.targets import targets
from meshlab.minicluster.mesh.model import ConfigRef
from meshlab.minicluster.mesh.policy import JwtPolicy, JwtRule

DISCOVERY = "/.well-known/openid-configuration"
"""Where an issuer tells of its keys (OpenID Connect Discovery 1.0)."""


def translate_request_authentication(
    obj: Obj, ref: ConfigRef, root: str, key_sets: Mapping[str, str], problems: Problems
) -> list[JwtPolicy]:
    """The JWT policies of one RequestAuthentication, one for each of its targets.

    Args:
        obj: the resource.
        ref: its reference.
        root: the root namespace.
        key_sets: what was fetched already, by `JwtRule.key_source`.
        problems: told what cannot work.
    """
    spec = mapping(obj.get("spec"))
    rules = tuple(_rule(item, ref, key_sets, problems) for item in objects(spec.get("jwtRules")))
    return [
        JwtPolicy(target.namespace, target.selector, rules, ref, created(obj))
        for target in targets(spec, ref, root, problems)
    ]


def _rule(item: Mapping[str, Any], ref: ConfigRef, key_sets: Mapping[str, str], problems: Problems) -> JwtRule:
    jwks = text(item.get("jwks"))
    uri = text(item.get("jwksUri")) or text(item.get("jwks_uri"))
    source = uri or text(item.get("issuer")).rstrip("/") + DISCOVERY
    if not jwks and source not in key_sets:
        problems.add("requestauthentication.keys", ref, f"{ref}: no keys were fetched from {source} yet", "warning")
    return JwtRule(
        issuer=text(item.get("issuer")),
        audiences=texts(item.get("audiences")),
        jwks=jwks or key_sets.get(source, ""),
        from_headers=tuple((text(h.get("name")), text(h.get("prefix"))) for h in objects(item.get("fromHeaders"))),
        from_params=texts(item.get("fromParams")),
        from_cookies=texts(item.get("fromCookies")),
        claim_headers=tuple(
            (text(h.get("header")), text(h.get("claim"))) for h in objects(item.get("outputClaimToHeaders"))
        ),
        forward=boolean(item.get("forwardOriginalToken")) or False,
        payload_header=text(item.get("outputPayloadToHeader")),
        space_delimited_claims=texts(item.get("spaceDelimitedClaims")),
        key_source="" if jwks else source,
    )
