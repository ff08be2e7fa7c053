"""PeerAuthentication and RequestAuthentication: what a workload's ports and routes accept."""

from __future__ import annotations

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.reading import (
    Problems,
    boolean,
    created,
    integer,
    mapping,
    match_labels,
    objects,
    text,
    texts,
)
from meshlab.minicluster.mesh.model import ConfigRef, MtlsMode, MtlsPolicy
from meshlab.minicluster.mesh.policy import JwtPolicy, JwtRule

MODES = {mode.value: mode for mode in MtlsMode}


def translate_peer_authentication(obj: Obj, ref: ConfigRef, root: str, problems: Problems) -> list[MtlsPolicy]:
    """The mTLS policy of one PeerAuthentication; ports count only beside a selector."""
    spec = mapping(obj.get("spec"))
    selector = match_labels(spec)
    if selector and ref.namespace == root:
        problems.add("peerauthentication.selector", ref, f"{ref}: a selector in {root} is not supported; it is ignored")
        return []
    ports: dict[int, MtlsMode | None] = {}
    for number, setting in mapping(spec.get("portLevelMtls")).items():
        port = integer(number)
        if port is not None:
            ports[port] = MODES.get(text(mapping(setting).get("mode")))
    if ports and not selector:
        problems.add("peerauthentication.ports", ref, f"{ref}: portLevelMtls needs a selector; it is ignored")
        ports = {}
    return [
        MtlsPolicy(
            namespace="" if ref.namespace == root else ref.namespace,
            selector=selector,
            mode=MODES.get(text(mapping(spec.get("mtls")).get("mode"))),
            ports=ports,
            ref=ref,
            created=created(obj),
        )
    ]


def translate_request_authentication(obj: Obj, ref: ConfigRef, root: str, problems: Problems) -> list[JwtPolicy]:
    """The JWT policy of one RequestAuthentication; no proxy enforces it yet, which is said."""
    problems.add("requestauthentication.ignored", ref, f"{ref} is not enforced: tokens are not checked yet")
    spec = mapping(obj.get("spec"))
    rules = tuple(
        JwtRule(
            issuer=text(item.get("issuer")),
            audiences=texts(item.get("audiences")),
            jwks=text(item.get("jwks")),
            jwks_uri=text(item.get("jwksUri")),
            from_headers=tuple((text(h.get("name")), text(h.get("prefix"))) for h in objects(item.get("fromHeaders"))),
            from_params=texts(item.get("fromParams")),
            claim_headers=tuple(
                (text(h.get("header")), text(h.get("claim"))) for h in objects(item.get("outputClaimToHeaders"))
            ),
            forward=boolean(item.get("forwardOriginalToken")) or False,
            payload_header=text(item.get("outputPayloadToHeader")),
        )
        for item in objects(spec.get("jwtRules"))
    )
    selector = match_labels(spec)
    # In the root namespace a selector matches workloads of every namespace.
    namespace = "" if ref.namespace == root else ref.namespace
    return [JwtPolicy(namespace, selector, rules, ref, created(obj))]
