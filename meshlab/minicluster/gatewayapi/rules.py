"""The CEL rules of the Gateway API's definitions, by the name under which ``crds.yaml`` asks for them (``x-rules``).

The messages and what they forbid are the API's (https://gateway-api.sigs.k8s.io/reference/spec/); rules that differ
only in a word are made here from that word.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshlab.minicluster.kubeapi import Obj

MATCHES_LIMIT = 128
EXACT_OR_PREFIX = "['Exact', 'PathPrefix']"
PATH_CHARACTERS = "^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$"
SERVICE_NAME = r"^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$"
METHOD_NAME = "^[A-Za-z_][A-Za-z_0-9]*$"
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
HOSTNAME = rf"^(\*\.)?{LABEL}(\.{LABEL})*$"
QUALIFIED_NAME = rf"^({LABEL}(\.{LABEL})*/)?([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]$"


def _rule(message: str, rule: str) -> Obj:
    return {"message": message, "rule": rule}


def _filter_fields(fields: dict[str, str]) -> list[Obj]:
    """A filter has the settings of its type, and of no other."""
    rules = []
    for field, kind in fields.items():
        rules += [
            _rule(
                f"filter.{field} must be nil if the filter.type is not {kind}",
                f"!(has(self.{field}) && self.type != '{kind}')",
            ),
            _rule(
                f"filter.{field} must be specified for {kind} filter.type",
                f"!(!has(self.{field}) && self.type == '{kind}')",
            ),
        ]
    return rules


def _once(kinds: Sequence[str]) -> list[Obj]:
    """Filters that a rule may have once only."""
    return [
        _rule(f"{kind} filter cannot be repeated", f"self.filter(f, f.type == '{kind}').size() <= 1") for kind in kinds
    ]


def _path(condition: str, message: str) -> Obj:
    return _rule(
        f"{message} when type one of {EXACT_OR_PREFIX}", f"(self.type in {EXACT_OR_PREFIX}) ? {condition} : true"
    )


def _modifier(field: str, kind: str) -> list[Obj]:
    return [
        _rule(
            f"{field} must be specified when type is set to '{kind}'",
            f"self.type == '{kind}' ? has(self.{field}) : true",
        ),
        _rule(f"type must be '{kind}' when {field} is set", f"has(self.{field}) ? self.type == '{kind}' : true"),
    ]


def _prefix_replaced(field: str, kind: str, message: str, *, backends: bool) -> Obj:
    """What replaces a matched prefix needs exactly one to be matched."""
    replaces = (
        f"f, has(f.{field}) && has(f.{field}.path) && f.{field}.path.type == 'ReplacePrefixMatch' "
        f"&& has(f.{field}.path.replacePrefixMatch)"
    )
    used = f"has(self.filters) && self.filters.exists_one({replaces})"
    if backends:
        inner = f"has(b.filters) && b.filters.exists_one({replaces})"
        used = f"has(self.backendRefs) && self.backendRefs.exists_one(b, ({inner}))"
    one_prefix = "size(self.matches) == 1 && has(self.matches[0].path) && self.matches[0].path.type == 'PathPrefix'"
    return _rule(
        f"{message} {kind} filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified",
        f"({used}) ? ({one_prefix}) : true",
    )


def _total_matches(matches: str) -> Obj:
    return _rule(
        "While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route "
        f"must be less than {MATCHES_LIMIT}",
        f"self.map(r, {matches}).sum() <= {MATCHES_LIMIT}",
    )


def _unset_or_equal(field: str) -> str:
    """Whether two references agree on an optional field."""
    return (
        f"(((!has(p1.{field}) || p1.{field} == '') && (!has(p2.{field}) || p2.{field} == '')) || "
        f"(has(p1.{field}) && has(p2.{field}) && p1.{field} == p2.{field}))"
    )


SAME_PARENT = f"p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && {_unset_or_equal('__namespace__')}"


def _qualified_keys(what: str) -> list[Obj]:
    return [
        _rule(
            f"{what} keys must be in the form of an optional DNS subdomain prefix followed by a required name segment "
            "of up to 63 characters.",
            f'self.all(key, key.matches(r"""{QUALIFIED_NAME}"""))',
        ),
        _rule(
            f"If specified, the {what.lower()} key's prefix must be a DNS subdomain not longer than 253 characters in "
            "total.",
            'self.all(key, key.split("/")[0].size() < 253)',
        ),
    ]


def _unique_addresses(kind: str) -> Obj:
    return _rule(
        f"{kind} values must be unique",
        f"self.all(a1, a1.type == '{kind}' && has(a1.value) ? "
        "self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true)",
    )


_GRPC_FIELDS = {
    "requestHeaderModifier": "RequestHeaderModifier",
    "responseHeaderModifier": "ResponseHeaderModifier",
    "requestMirror": "RequestMirror",
}
_EXTENSION = {"extensionRef": "ExtensionRef"}

RULES: dict[str, list[Obj]] = {
    "httpFilter": _filter_fields(
        {**_GRPC_FIELDS, "requestRedirect": "RequestRedirect", "urlRewrite": "URLRewrite", "cors": "CORS", **_EXTENSION}
    ),
    "grpcFilter": _filter_fields({**_GRPC_FIELDS, **_EXTENSION}),
    "httpFilters": [
        _rule(
            "May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both",
            "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
        ),
        *_once(["RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"]),
    ],
    "grpcFilters": _once(["RequestHeaderModifier", "ResponseHeaderModifier"]),
    "mirror": [
        _rule(
            "Only one of percent or fraction may be specified in HTTPRequestMirrorFilter",
            "!(has(self.percent) && has(self.fraction))",
        )
    ],
    "fraction": [_rule("numerator must be less than or equal to denominator", "self.numerator <= self.denominator")],
    "allowOrigins": [
        _rule("AllowOrigins cannot contain '*' alongside other origins", "!('*' in self && self.size() > 1)")
    ],
    "backend": [
        _rule(
            "Must have port for Service reference",
            "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
        )
    ],
    "pathModifier": [
        *_modifier("replaceFullPath", "ReplaceFullPath"),
        *_modifier("replacePrefixMatch", "ReplacePrefixMatch"),
    ],
    "pathMatch": [
        _rule(
            f"value must be an absolute path and start with '/' when type one of {EXACT_OR_PREFIX}",
            f"(self.type in {EXACT_OR_PREFIX}) ? self.value.startsWith('/') : true",
        ),
        *(
            _path(f"!self.value.contains('{part}')", f"must not contain '{part}'")
            for part in ("//", "/./", "/../", "%2f", "%2F", "#")
        ),
        *(_path(f"!self.value.endsWith('{part}')", f"must not end with '{part}'") for part in ("/..", "/.")),
        _rule(
            "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
            f"self.type in {EXACT_OR_PREFIX} || self.type == 'RegularExpression'",
        ),
        _rule(
            f"must only contain valid characters (matching {PATH_CHARACTERS}) for types {EXACT_OR_PREFIX}",
            f'(self.type in {EXACT_OR_PREFIX}) ? self.value.matches(r"""{PATH_CHARACTERS}""") : true',
        ),
    ],
    "methodMatch": [
        _rule(
            "One or both of 'service' or 'method' must be specified",
            "has(self.type) ? has(self.service) || has(self.method) : true",
        ),
        *(
            _rule(
                f"{field} must only contain valid characters (matching {pattern})",
                f"(!has(self.type) || self.type == 'Exact') && has(self.{field}) ? "
                f'self.{field}.matches(r"""{pattern}""") : true',
            )
            for field, pattern in (("service", SERVICE_NAME), ("method", METHOD_NAME))
        ),
    ],
    "httpRules": [_total_matches("r.matches.size()")],
    "grpcRules": [_total_matches("has(r.matches) ? r.matches.size() : 0")],
    "httpRule": [
        _rule(
            "RequestRedirect filter must not be used together with backendRefs",
            "(has(self.backendRefs) && size(self.backendRefs) > 0) ? "
            "(!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))) : true",
        ),
        _prefix_replaced("requestRedirect", "RequestRedirect", "When using", backends=False),
        _prefix_replaced("urlRewrite", "URLRewrite", "When using", backends=False),
        _prefix_replaced("requestRedirect", "RequestRedirect", "Within backendRefs, when using", backends=True),
        _prefix_replaced("urlRewrite", "URLRewrite", "Within backendRefs, When using", backends=True),
    ],
    "parentRefs": [
        _rule(
            "sectionName must be specified when parentRefs includes 2 or more references to the same parent",
            f"self.all(p1, self.all(p2, {SAME_PARENT} ? "
            "((!has(p1.sectionName) || p1.sectionName == '') == "
            "(!has(p2.sectionName) || p2.sectionName == '')) : true))",
        ),
        _rule(
            "sectionName must be unique when parentRefs includes 2 or more references to the same parent",
            f"self.all(p1, self.exists_one(p2, {SAME_PARENT} && {_unset_or_equal('sectionName')}))",
        ),
    ],
    "listeners": [
        _rule(
            "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
            "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
        ),
        _rule(
            "tls mode must be Terminate for protocol HTTPS",
            "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? "
            "(l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
        ),
        _rule(
            "hostname must not be specified for protocols ['TCP', 'UDP']",
            "self.all(l, l.protocol in ['TCP', 'UDP'] ? (!has(l.hostname) || l.hostname == '') : true)",
        ),
        _rule(
            "Listener name must be unique within the Gateway", "self.all(l1, self.exists_one(l2, l1.name == l2.name))"
        ),
        _rule(
            "Combination of port, protocol and hostname must be unique for each listener",
            "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && "
            "(has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : "
            "!has(l1.hostname) && !has(l2.hostname))))",
        ),
    ],
    "listenerTls": [
        _rule(
            "certificateRefs or options must be specified when mode is Terminate",
            "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
        )
    ],
    "addresses": [_unique_addresses("IPAddress"), _unique_addresses("Hostname")],
    "address": [
        _rule(
            f"Hostname value must be empty or contain only valid characters (matching {HOSTNAME})",
            f'self.type == \'Hostname\' ? (!has(self.value) || self.value.matches(r"""{HOSTNAME}""")) : true',
        )
    ],
    "annotations": _qualified_keys("Annotation"),
    "labels": _qualified_keys("Label"),
    "tlsHostnames": [_rule("Hostnames cannot contain an IP", "self.all(h, !isIP(h))")],
}
