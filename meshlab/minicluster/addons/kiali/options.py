"""What a request for a graph asks for: the query parameters, as Kiali checks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_DURATION = "10m"
ALL_APPENDERS = frozenset({"securityPolicy", "responseTime", "throughput", "sidecarsCheck", "istio"})
"""The appenders that add something here; the real Kiali has more."""
UNITS_S = {"y": 365 * 86400.0, "w": 7 * 86400.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile("".join(rf"(?:(\d+){unit})?" for unit in UNITS_S))
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_BOXES = ("app", "cluster", "namespace")
_RATES = {
    "rateGrpc": ("gRPC", ("none", "received", "requests", "sent", "total")),
    "rateHttp": ("HTTP", ("none", "requests")),
    "rateTcp": ("TCP", ("none", "received", "sent", "total")),
}
_QUANTILES = {"avg": 0.0, "50": 0.5, "95": 0.95, "99": 0.99}


class Refused(Exception):
    """A request that cannot be answered.

    Args:
        status: the HTTP status.
        message: Kiali's words.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class GraphType(StrEnum):
    """What a node stands for."""

    WORKLOAD = "workload"
    APP = "app"
    VERSIONED_APP = "versionedApp"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """One request, checked."""

    namespaces: tuple[str, ...]
    duration_s: float
    end: float
    """Seconds since the epoch."""
    graph_type: GraphType = GraphType.WORKLOAD
    appenders: frozenset[str] = ALL_APPENDERS
    inject_services: bool = False
    idle_edges: bool = False
    box_by: frozenset[str] = frozenset()
    rate_grpc: str = "requests"
    rate_http: str = "requests"
    rate_tcp: str = "sent"
    quantile: float = 0.95
    """Of response times; 0 means their average."""


def parse_duration(text: str) -> float:
    """Seconds of a Prometheus duration (``1m30s``).

    Raises:
        ValueError: it is none.
    """
    match = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if match is None or not text:
        raise ValueError(f"not a valid duration string: {text!r}")
    return sum(int(number) * unit for number, unit in zip(match.groups(), UNITS_S.values(), strict=True) if number)


def parse_options(query: Mapping[str, str], accessible: Mapping[str, float], now: float) -> GraphOptions:
    """Check a query.

    Args:
        query: its parameters.
        accessible: the namespaces there are, and when each was created.
        now: seconds since the epoch.

    Raises:
        Refused: 400 or 403, in Kiali's words.
    """
    for name, only in (("configVendor", "common"), ("telemetryVendor", "istio")):
        if query.get(name, only) not in ("", only):
            raise Refused(400, f"Invalid {name} [{query[name]}]")
    duration = query.get("duration") or DEFAULT_DURATION
    try:
        duration_s = parse_duration(duration)
    except ValueError:
        raise Refused(400, f"Invalid duration [{duration}]") from None
    try:
        graph_type = GraphType(query.get("graphType") or GraphType.WORKLOAD)
    except ValueError:
        raise Refused(400, f"Invalid graphType [{query['graphType']}]") from None
    boxes = [box.strip() for box in query.get("boxBy", "").split(",") if query.get("boxBy")]
    if any(box not in _BOXES for box in boxes):
        raise Refused(400, f"Invalid boxBy [{query['boxBy']}]")
    idle_edges = _boolean(query, "includeIdleEdges")
    inject_services = _boolean(query, "injectServiceNodes")
    try:
        end = float(int(query.get("queryTime") or now))
    except ValueError:
        raise Refused(400, f"Invalid queryTime [{query['queryTime']}]") from None
    end = now if not query.get("queryTime") else end
    namespaces = _namespaces(query, accessible, end)
    for name, (protocol, allowed) in _RATES.items():
        if query.get(name) and query[name] not in allowed:
            raise Refused(400, f"Invalid {protocol} Rate [{query[name]}]")
    quantile = query.get("responseTime") or "95"
    if quantile not in _QUANTILES:
        raise Refused(400, f"Invalid responseTime [{quantile}]")
    names = query.get("appenders")
    return GraphOptions(
        namespaces=namespaces,
        duration_s=duration_s,
        end=end,
        graph_type=graph_type,
        appenders=ALL_APPENDERS if names is None else frozenset(name.strip() for name in names.split(",")),
        inject_services=inject_services or graph_type is GraphType.SERVICE,
        idle_edges=idle_edges,
        box_by=frozenset(boxes),
        rate_grpc=query.get("rateGrpc") or "requests",
        rate_http=query.get("rateHttp") or "requests",
        rate_tcp=query.get("rateTcp") or "sent",
        quantile=_QUANTILES[quantile],
    )


def _boolean(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "")
    if text and text not in _TRUE + _FALSE:
        raise Refused(400, f"Invalid {name} [{text}]")
    return text in _TRUE


def _namespaces(query: Mapping[str, str], accessible: Mapping[str, float], end: float) -> tuple[str, ...]:
    if not query.get("namespaces"):
        raise Refused(400, "At least one namespace must be specified via the namespaces query parameter.")
    names = tuple(dict.fromkeys(name.strip() for name in query["namespaces"].split(",")))
    for name in names:
        if name not in accessible:
            raise Refused(403, f"Requested namespace [{name}] is not accessible.")
        if accessible[name] > end:
            raise Refused(400, f"Namespace [{name}] did not exist at requested queryTime [{end:.0f}]")
    return names
