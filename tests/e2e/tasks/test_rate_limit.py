"""Istio's task "Enabling Rate Limits using Envoy", and EnvoyFilters that Envoy refuses."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.support.lab import Lab, eventually
from tests.support.security_tasks import apply, becomes, deploy, status

pytestmark = pytest.mark.full

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: ratelimit-config}
data:
  config.yaml: |
    domain: ratelimit
    descriptors:
      - key: PATH
        value: "/ip"
        rate_limit: {unit: hour, requests_per_unit: 1}
      - key: PATH
        rate_limit: {unit: hour, requests_per_unit: 100}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: redis, labels: {app: redis}}
spec: {ports: [{name: redis, port: 6379}], selector: {app: redis}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  replicas: 1
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      containers:
      - {image: "redis:alpine", imagePullPolicy: Always, name: redis, ports: [{name: redis, containerPort: 6379}]}
      restartPolicy: Always
---
apiVersion: v1
kind: Service
metadata: {name: ratelimit, labels: {app: ratelimit}}
spec:
  ports:
  - {name: http-port, port: 8080, targetPort: 8080, protocol: TCP}
  - {name: grpc-port, port: 8081, targetPort: 8081, protocol: TCP}
  - {name: http-debug, port: 6070, targetPort: 6070, protocol: TCP}
  selector: {app: ratelimit}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ratelimit}
spec:
  replicas: 1
  selector: {matchLabels: {app: ratelimit}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: ratelimit}}
    spec:
      containers:
      - image: envoyproxy/ratelimit:9d8d70a8
        imagePullPolicy: Always
        name: ratelimit
        command: ["/bin/ratelimit"]
        env:
        - {name: LOG_LEVEL, value: debug}
        - {name: REDIS_SOCKET_TYPE, value: tcp}
        - {name: REDIS_URL, value: "redis:6379"}
        - {name: USE_STATSD, value: "false"}
        - {name: RUNTIME_ROOT, value: /data}
        - {name: RUNTIME_SUBDIRECTORY, value: ratelimit}
        - {name: RUNTIME_WATCH_ROOT, value: "false"}
        - {name: RUNTIME_IGNOREDOTFILES, value: "true"}
        - {name: HOST, value: "::"}
        - {name: GRPC_HOST, value: "::"}
        ports: [{containerPort: 8080}, {containerPort: 8081}, {containerPort: 6070}]
        volumeMounts: [{name: config-volume, mountPath: /data/ratelimit/config}]
      volumes: [{name: config-volume, configMap: {name: ratelimit-config}}]
"""
EDGE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
GLOBAL = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter-ratelimit, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: GATEWAY
      listener:
        filterChain:
          filter:
            name: "envoy.filters.network.http_connection_manager"
            subFilter: {name: "envoy.filters.http.router"}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.ratelimit
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
          domain: ratelimit
          failure_mode_deny: true
          timeout: 10s
          rate_limit_service:
            grpc_service:
              envoy_grpc:
                cluster_name: outbound|8081||ratelimit.default.svc.cluster.local
                authority: ratelimit.default.svc.cluster.local
            transport_api_version: V3
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter-ratelimit-svc, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: GATEWAY, routeConfiguration: {vhost: {name: "", route: {action: ANY}}}}
    patch:
      operation: MERGE
      value:
        rate_limits:
        - actions:
          - request_headers: {header_name: ":path", descriptor_key: "PATH"}
"""
LOCAL = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter-local-ratelimit-svc, namespace: istio-system}
spec:
  workloadSelector: {labels: {app: httpbin}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener: {filterChain: {filter: {name: "envoy.filters.network.http_connection_manager"}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value: {stat_prefix: http_local_rate_limiter}
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_INBOUND
      routeConfiguration: {vhost: {name: "inbound|http|8000", route: {action: ANY}}}
    patch:
      operation: MERGE
      value:
        typed_per_filter_config:
          envoy.filters.http.local_ratelimit:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 600s}
              filter_enabled: {runtime_key: a, default_value: {numerator: 100, denominator: HUNDRED}}
              filter_enforced: {runtime_key: b, default_value: {numerator: 100, denominator: HUNDRED}}
              response_headers_to_add: [{append: false, header: {key: x-local-rate-limit, value: 'true'}}]
"""
EDGE_URL = "http://istio-ingressgateway.istio-system"


@pytest.fixture(scope="module")
def apps(mesh: Lab) -> Lab:
    deploy(mesh, "foo")
    apply(mesh, EDGE, "foo")
    apply(mesh, CONFIG)
    apply(mesh, SERVICE)
    for name in ("redis", "ratelimit"):
        mesh.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    becomes(mesh, "200", "foo", f"{EDGE_URL}/get")
    return mesh


def test_global_rate_limit(apps: Lab) -> None:
    apply(apps, GLOBAL)
    becomes(apps, "429", "foo", f"{EDGE_URL}/ip")
    assert status(apps, "foo", f"{EDGE_URL}/headers") == "200"
    assert status(apps, "foo", "http://httpbin.foo:8000/ip") == "200", "inside the mesh nobody counts"
    keys = apps.kubectl("exec", "deploy/redis", "--", "redis-cli", "keys", "ratelimit_PATH_/ip_*")
    assert keys.startswith("ratelimit_PATH_/ip_")
    dump = apps.kubectl("exec", "deploy/ratelimit", "--", "wget", "-qO-", "http://localhost:6070/rlconfig")
    assert "ratelimit.PATH_/ip: unit=HOUR requests_per_unit=1" in dump
    # The counters are in Redis and nowhere else.
    apps.kubectl("exec", "deploy/redis", "--", "redis-cli", "flushall")
    assert [status(apps, "foo", f"{EDGE_URL}/ip") for _ in range(3)] == ["200", "429", "429"]


def test_local_rate_limit(apps: Lab) -> None:
    apply(apps, LOCAL)
    eventually(lambda: status(apps, "foo", "http://httpbin.foo:8000/get") == "429")
    apps.kubectl("delete", "envoyfilter", "-n", "istio-system", "filter-local-ratelimit-svc")
    becomes(apps, "200", "foo", "http://httpbin.foo:8000/get")


def test_what_envoy_refuses_is_told_and_harms_nobody(apps: Lab) -> None:
    bad = yaml.safe_load(LOCAL)
    bad["metadata"]["name"] = "bad"
    bad["spec"]["configPatches"] = bad["spec"]["configPatches"][:1]
    value = bad["spec"]["configPatches"][0]["patch"]["value"]
    value["typed_config"]["type_url"] = "type.googleapis.com/no.such.Filter"
    apply(apps, json.dumps(bad))

    def refused() -> bool:
        proxies = json.loads(apps.run("istioctl", "proxy-status", "-o", "json").stdout or "[]")
        return "NACK" in json.dumps(proxies)

    eventually(refused, what="proxy-status tells of the refusal")
    assert status(apps, "foo", "http://httpbin.foo:8000/get") == "200"
    apps.kubectl("delete", "envoyfilter", "-n", "istio-system", "bad")
    eventually(lambda: not refused())
