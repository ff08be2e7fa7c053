"""``traffic.split``: do the asked-for shares reach each version, by route weights?

The ladder: somebody *declares* weights for the host; the subsets they name are *accepted*, that is, defined and
non-empty; the client's proxy has exactly these weights (*pushed*); and traffic of the client agrees with them
(*observed*). Replicas that happen to give the same mix stop at the first rung.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

from meshlab.grading import (
    CheckContext,
    Decision,
    Evidence,
    NeedMore,
    SequentialSplit,
    Verdict,
    check,
    failed,
    passed,
    pending,
)

from . import clients, proxies

FIRST_LOOK = 20
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def judge_split(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    """Judge shares by label value; see the module for the ladder."""
    problem = clients.problem_verdict(evidence)
    if problem is not None:
        return problem
    stopped = judge_pushed(evidence, params)
    if stopped is not None:
        return stopped
    return _judge_observed(evidence, params)


@check(
    "traffic.split",
    judge=judge_split,
    required=("from", "url", "by", "weights"),
    optional=("zone",),
    watches=(*clients.ROUTING, "deployments.apps"),
)
def collect_split(context: CheckContext, params: Mapping[str, Any], so_far: Evidence | None) -> Evidence:
    """Read objects and the client's proxy, then send traffic: a little if the proxy is not right yet, else enough."""
    try:
        return _look(context, clients.find(context, params["from"]), params, so_far)
    except clients.ClientProblem as problem:
        return clients.no_client(problem)


def _look(
    context: CheckContext, client: clients.ClientPod, params: Mapping[str, Any], so_far: Evidence | None
) -> Evidence:
    namespace, pod = client.namespace, client.pod
    if so_far is None:
        data = _collect_objects(context, client, params)
        evidence = Evidence("requests", data, client.vantage())
        evidence.watched = {"from_rv": _watched(data), "to_rv": _watched(data)}
        requests = FIRST_LOOK
        if judge_pushed(evidence, params) is None:
            requests = _test(params).expected_requests()
    else:
        evidence, requests = so_far, context.requests_wanted
    if evidence.data["proxy"]["present"] or so_far is None:
        sent = clients.send(context, namespace, pod, params["url"], requests)
        sent.add_to(evidence.data["requests"])
    evidence.watched["to_rv"] = _watched({"objects": _collect_mesh_objects(context, namespace, params)})
    return evidence


def judge_pushed(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | None:
    """The rungs below *observed*: None if the client's proxy has exactly the asked-for shares."""
    data = evidence.data
    client, wanted = params["from"], _wanted_text(params)
    if not data["proxy"]["present"]:
        return failed(
            "split.no-proxy",
            "declared",
            found=f"the pod of {client} has no sidecar",
            wanted=wanted,
            why="routes act in the client's proxy, and this client has none",
            hint="is the pod injected? an old pod stays as it is until it is restarted",
        )
    declared = data["objects"]["virtual_services"] + data["objects"]["http_routes"]
    route = data["proxy"]["route"]
    weights = {cluster: weight for cluster, weight in (route or {}).get("weights", {}).items() if weight > 0}
    if not declared:
        return failed(
            "split.no-weights",
            "declared",
            found=f"no route declares weights for {urlsplit(params['url']).hostname}; {_mix_text(data)}",
            wanted=wanted,
            why="without a route a Service spreads requests over its pods, so the mix follows the number of replicas",
            hint="which resource lets you give weights that do not depend on how many replicas there are?",
        )
    undefined = [cluster for cluster in weights if cluster not in data["proxy"]["endpoints"]]
    if undefined:
        return _undefined_subset(data, undefined, wanted)
    empty = [cluster for cluster in weights if not data["proxy"]["endpoints"][cluster]]
    if empty:
        return _empty_subset(data, empty, params, wanted)
    if not weights or list(weights) == [_plain_cluster(next(iter(weights)))]:
        return pending(
            "split.not-pushed",
            "accepted",
            found=f"the proxy of {client} sends everything to one place: {', '.join(weights) or 'no cluster at all'}",
            wanted=wanted,
            why=f"{declared[0]['kind']} {declared[0]['name']} names the host but does not reach this proxy",
            hint="look at its hosts, gateways and namespace, and at the order of its rules",
        )
    return _compare_shares(data, weights, params, wanted)


def _compare_shares(
    data: Mapping[str, Any], weights: Mapping[str, int], params: Mapping[str, Any], wanted: str
) -> Verdict | None:
    by, versions = params["by"], data["pods"]
    shares: dict[str, Fraction] = {}
    total = sum(weights.values())
    for cluster, weight in weights.items():
        reached = {versions.get(address, "") for address in data["proxy"]["endpoints"][cluster]}
        if len(reached) != 1:
            return failed(
                "split.mixed-subset",
                "pushed",
                found=f"{cluster} reaches pods of {len(reached)} versions: {by}={', '.join(sorted(reached))}",
                wanted=wanted,
                why="a subset must select the pods of one version only",
                hint=f"compare the subset's labels with kubectl get pods -L {by}",
            )
        version = reached.pop()
        shares[version] = shares.get(version, Fraction(0)) + Fraction(weight, total)
    asked = _asked_shares(params)
    if shares != {version: share for version, share in asked.items() if share}:
        return failed(
            "split.wrong-weights",
            "pushed",
            found="weights in the client's proxy: " + _shares_text(shares),
            wanted=wanted,
            why="the route gives other shares than asked for",
            hint="weights are relative to their sum: which share does each destination get?",
        )
    return None


def _judge_observed(evidence: Evidence, params: Mapping[str, Any]) -> Verdict | NeedMore:
    data, wanted = evidence.data, _wanted_text(params)
    requests, notes = data["requests"], tuple(data["objects"]["notes"])
    answered = requests["status"].get("200", 0)
    if answered < requests["n"]:
        return failed(
            "split.requests-fail",
            "observed",
            found=clients.describe_failures(requests),
            wanted=wanted,
            why="the weights are right, but requests fail behind them",
            hint="which version fails? ask each of them directly",
            notes=notes,
        )
    test = _test(params)
    decision = test.decide(requests["by"])
    found = f"{_counts_text(requests)}, and the weights in the client's proxy are exact"
    if decision is Decision.AGREES:
        return passed("split.agrees", found, wanted=wanted, notes=notes)
    if decision is Decision.DIFFERS:
        return failed(
            "split.traffic-differs",
            "observed",
            found=_counts_text(requests),
            wanted=wanted,
            why="the proxy has the weights, but the answers do not agree with them",
            hint="do the pods behind each subset really run that version?",
            notes=notes,
        )
    return NeedMore(
        requests=clients.BATCH,
        otherwise=passed(
            "split.exact-in-proxy",
            f"{found}; traffic did not decide within the budget, so the proxy's weights did",
            rung="pushed",
            wanted=wanted,
            notes=notes,
        ),
    )


def _undefined_subset(data: Mapping[str, Any], undefined: list[str], wanted: str) -> Verdict:
    subsets = [_subset(cluster) for cluster in undefined]
    defined = {name for rule in data["objects"]["destination_rules"] for name in rule["subsets"]}
    named = " and ".join(subsets) or undefined[0]
    found = clients.describe_failures(data["requests"]) + " (flag NC: no such cluster)"
    if subsets and set(subsets) <= defined:
        return pending(
            "split.subset-not-pushed",
            "accepted",
            found=found,
            wanted=wanted,
            why=f"a DestinationRule defines {named}, but the client's proxy does not have it",
            hint="does its host resolve to this service from its own namespace?",
        )
    plural = "subsets" if len(subsets) > 1 else "subset"
    return failed(
        "split.no-cluster",
        "pushed",
        found=found,
        wanted=wanted,
        why=f"the route names {plural} {named}, which no DestinationRule defines",
        hint="which resource defines subsets?",
    )


def _empty_subset(data: Mapping[str, Any], empty: list[str], params: Mapping[str, Any], wanted: str) -> Verdict:
    labels = [
        f"{name} selects {', '.join(f'{key}={value}' for key, value in selector.items()) or 'nothing'}"
        for rule in data["objects"]["destination_rules"]
        for name, selector in rule["subsets"].items()
        if name in {_subset(cluster) for cluster in empty}
    ]
    return failed(
        "split.no-endpoints",
        "pushed",
        found=f"{clients.describe_failures(data['requests'])} (flag UH: no healthy upstream)",
        wanted=wanted,
        why=f"{'; '.join(labels) or ', '.join(empty)}, and no ready pod carries that; the pods carry the label "
        f"{params['by']}",
        hint=f"kubectl get pods --show-labels; the versions differ in {params['by']}",
    )


def _collect_objects(context: CheckContext, client: clients.ClientPod, params: Mapping[str, Any]) -> dict[str, Any]:
    namespace, pod, present = client.namespace, client.pod, client.has_proxy
    route = proxies.route_for(context, namespace, pod, params["url"]) if present else None
    names = set((route or {}).get("weights", {}))
    data: dict[str, Any] = {
        "objects": _collect_mesh_objects(context, namespace, params),
        "proxy": {
            "present": present,
            "route": route,
            "endpoints": proxies.endpoints(context, namespace, pod, names) if names else {},
        },
        "pods": _versions_by_address(context, params["by"]),
        "requests": {"url": params["url"]},
    }
    return data


def _collect_mesh_objects(context: CheckContext, namespace: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Routes and rules that name the host, reduced to what the judge reads."""
    host = urlsplit(params["url"]).hostname or ""
    notes = set()
    services, rules, routes = [], [], []
    for obj in context.cluster.list_objects("virtualservices.networking.istio.io"):
        own = obj["metadata"]["namespace"]
        hosts = obj["spec"].get("hosts") or []
        if any(_same_host(entry, own, host, namespace) for entry in hosts):
            services.append(_summary(obj))
            if '"networking.istio.io/v1alpha3"' in _last_applied(obj):
                notes.add("vs.v1alpha3")
            for rule in obj["spec"].get("http") or []:
                given = [entry["weight"] for entry in rule.get("route") or [] if "weight" in entry]
                if len(given) > 1 and sum(given) != 100:
                    notes.add("weights.not-100")
    for obj in context.cluster.list_objects("destinationrules.networking.istio.io"):
        if _same_host(obj["spec"].get("host", ""), obj["metadata"]["namespace"], host, namespace):
            subsets = {entry["name"]: entry.get("labels") or {} for entry in obj["spec"].get("subsets") or []}
            rules.append(_summary(obj) | {"subsets": subsets})
    for obj in context.cluster.list_objects("httproutes.gateway.networking.k8s.io"):
        parents = obj["spec"].get("parentRefs") or []
        if any(ref.get("kind") == "Service" and ref["name"] == host.partition(".")[0] for ref in parents):
            routes.append(_summary(obj))
    return {
        "virtual_services": services,
        "destination_rules": rules,
        "http_routes": routes,
        "notes": sorted(notes),
    }


def _versions_by_address(context: CheckContext, label: str) -> dict[str, str]:
    versions = {}
    for namespace in sorted(set(context.exercise.namespaces.values())):
        for pod in context.cluster.list_objects("pods", namespace, label_selector=label):
            address = (pod.get("status") or {}).get("podIP")
            if address:
                versions[address] = pod["metadata"]["labels"][label]
    return versions


def _summary(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = obj["metadata"]
    return {
        "kind": obj["kind"],
        "name": f"{metadata['namespace']}/{metadata['name']}",
        "resource_version": metadata["resourceVersion"],
    }


def _last_applied(obj: Mapping[str, Any]) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(LAST_APPLIED, ""))


def _watched(data: Mapping[str, Any]) -> str:
    """What must not change while evidence is taken: the versions of every route and rule."""
    objects = data["objects"]
    entries = objects["virtual_services"] + objects["destination_rules"] + objects["http_routes"]
    return ",".join(sorted(f"{entry['name']}@{entry['resource_version']}" for entry in entries))


def _same_host(written: str, written_in: str, host: str, client_namespace: str) -> bool:
    """Whether a host as written in a resource is the host of the URL, both made fully qualified."""
    if written.startswith("*"):
        return _qualified(host, client_namespace).endswith(written[1:])
    return _qualified(written, written_in) == _qualified(host, client_namespace)


def _qualified(host: str, namespace: str) -> str:
    labels = host.rstrip(".").split(".")
    if len(labels) == 1:
        labels.append(namespace)
    if len(labels) == 2:
        labels.append("svc")
    if labels[2:] == ["svc"]:
        labels += ["cluster", "local"]
    return ".".join(labels)


def _plain_cluster(cluster: str) -> str:
    """``outbound|80|v1|host`` without its subset."""
    direction, port, _, host = cluster.split("|") if cluster.count("|") == 3 else ("", "", "", "")
    return f"{direction}|{port}||{host}"


def _subset(cluster: str) -> str:
    return cluster.split("|")[2] if cluster.count("|") == 3 else ""


def _asked_shares(params: Mapping[str, Any]) -> dict[str, Fraction]:
    weights = {str(version): int(weight) for version, weight in params["weights"].items()}
    total = sum(weights.values())
    return {version: Fraction(weight, total) for version, weight in weights.items()}


def _test(params: Mapping[str, Any]) -> SequentialSplit:
    shares = {version: float(share) for version, share in _asked_shares(params).items()}
    return SequentialSplit(shares, float(params.get("zone", 5)) / 100)


def _wanted_text(params: Mapping[str, Any]) -> str:
    return f"{_shares_text(_asked_shares(params))} of the requests of {params['from']}, by route weights"


def _shares_text(shares: Mapping[str, Fraction]) -> str:
    return ", ".join(f"{version} {float(share * 100):g} %" for version, share in sorted(shares.items()))


def _counts_text(requests: Mapping[str, Any]) -> str:
    total = sum(requests["by"].values()) or 1
    parts = [f"{word} {count / total:.1%}" for word, count in sorted(requests["by"].items())]
    return f"{', '.join(parts)} of {requests['n']} requests"


def _mix_text(data: Mapping[str, Any]) -> str:
    requests = data["requests"]
    if requests.get("by"):
        return f"the replicas alone give {_counts_text(requests)}"
    return clients.describe_failures(requests) if requests.get("n") else "nothing was sent"
