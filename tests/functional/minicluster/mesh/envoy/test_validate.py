"""Envoy accepts what is built from resources that use every field which is supported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshlab.minicluster.mesh import proto
from tests.fakes.istio_world import World

Validate = Callable[..., None]

EVERYTHING = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop, "*.shop.example.com", shop.example.com]
  gateways: [mesh, edge]
  http:
  - name: matching
    match:
    - name: one
      uri: {regex: "/items/[0-9]+"}
      scheme: {exact: http}
      method: {regex: GET|HEAD}
      authority: {prefix: shop}
      headers: {x-a: {exact: a}, x-b: {prefix: b}, x-c: {regex: c.*}, x-d: {}}
      withoutHeaders: {x-e: {exact: e}, x-f: {}}
      queryParams: {q: {exact: "1"}, r: {regex: r+}, s: {}}
      ignoreUriCase: true
      port: 80
      sourceLabels: {app: client}
      sourceNamespace: default
      gateways: [mesh]
    - uri: {prefix: /items}
    rewrite: {uri: /things}
    timeout: 1.5s
    retries: {attempts: 3, perTryTimeout: 500ms, retryOn: "5xx,reset,503", retryRemoteLocalities: true, backoff: 50ms}
    fault:
      delay: {percentage: {value: 0.1}, fixedDelay: 100ms}
      abort: {percentage: {value: 12.5}, grpcStatus: UNAVAILABLE}
    mirrors:
    - {destination: {host: shop, subset: v2}, percentage: {value: 10}}
    - {destination: {host: shop, subset: v1}}
    corsPolicy:
      allowOrigins: [{exact: "https://a.example.com"}, {prefix: "https://b"}, {regex: "https://.*"}, {exact: "*"}]
      allowMethods: [GET, POST]
      allowHeaders: [x-a]
      exposeHeaders: [x-b]
      maxAge: 24h
      allowCredentials: true
      unmatchedPreflights: IGNORE
    headers:
      request: {set: {host: other, x-s: "1", ":path": /no}, add: {x-t: "2"}, remove: [x-u, ":method"]}
      response: {set: {x-s: "1"}, add: {x-t: "2"}, remove: [x-u]}
    route:
    - {destination: {host: shop, subset: v1}, weight: 3, headers: {request: {set: {x-v: v1}}}}
    - {destination: {host: shop, subset: v2, port: {number: 80}}, weight: 1, headers: {response: {remove: [x-w]}}}
  - match: [{uri: {prefix: /regex}}]
    rewrite: {uriRegexRewrite: {match: "^/regex/(.*)$", rewrite: "/\\\\1"}, authority: other}
    route: [{destination: {host: shop, subset: v1}}]
  - match: [{uri: {prefix: /go}}]
    redirect: {uri: "%PREFIX()%/gone", authority: x.example.com, scheme: https, derivePort: FROM_PROTOCOL_DEFAULT, redirectCode: 308}
  - match: [{uri: {exact: /teapot}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - route: [{destination: {host: shop}}]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: shop, port: {number: 9000}, subset: v1}, weight: 50}, {destination: {host: shop, subset: v2, port: {number: 9000}}, weight: 50}]
  tls:
  - match: [{port: 443, sniHosts: [shop.example.com]}]
    route: [{destination: {host: shop, port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpCookie: {name: user, path: /, ttl: 0s}, ringHash: {minimumRingSize: 64}}
    connectionPool:
      tcp: {maxConnections: 1, connectTimeout: 2s, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}, maxConnectionDuration: 1h}
      http: {http1MaxPendingRequests: 1, http2MaxRequests: 10, maxRequestsPerConnection: 1, maxRetries: 3, idleTimeout: 1h, h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 10}
    outlierDetection:
      consecutive5xxErrors: 1
      consecutiveGatewayErrors: 2
      consecutiveLocalOriginFailures: 3
      splitExternalLocalOriginErrors: true
      interval: 1s
      baseEjectionTime: 10m
      maxEjectionPercent: 100
      minHealthPercent: 50
    portLevelSettings:
    - {port: {number: 9000}, loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s}}}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}, tls: {mode: ISTIO_MUTUAL}}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user, maglev: {tableSize: 997}}}}}
  - {name: v5, labels: {version: v5}, trafficPolicy: {proxyProtocol: {version: V2}, retryBudget: {percent: 25}, loadBalancer: {simple: LEAST_REQUEST, warmup: {duration: 30s}}}}
  - {name: v6, labels: {version: v6}, trafficPolicy: {proxyProtocol: {version: V1}, tls: {mode: SIMPLE, credentialName: shop-cert}}}
  - name: v3
    labels: {version: v3}
    trafficPolicy:
      tls: {mode: MUTUAL, caCertificates: /ca.pem, clientCertificate: /c.pem, privateKey: /k.pem, subjectAltNames: [a.example.com]}
      loadBalancer: {localityLbSetting: {distribute: [{from: "r1/*", to: {"r1/*": 80, "r2/*": 20}}]}}
  - {name: v4, labels: {version: v4}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: shop-cert, sni: other}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.shop.example.com"], tls: {httpsRedirect: true}}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["default/shop.example.com"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.shop.example.com], tls: {mode: SIMPLE, credentialName: shop-cert, minProtocolVersion: TLSV1_2}}
  - {port: {number: 443, name: mutual, protocol: HTTPS}, hosts: [b.shop.example.com], tls: {mode: MUTUAL, credentialName: shop-cert, subjectAltNames: [x]}}
  - {port: {number: 443, name: files, protocol: HTTPS}, hosts: [c.shop.example.com], tls: {mode: MUTUAL, serverCertificate: /c.pem, privateKey: /k.pem, caCertificates: /ca.pem}}
  - {port: {number: 443, name: mesh, protocol: HTTPS}, hosts: [d.shop.example.com], tls: {mode: ISTIO_MUTUAL}}
  - {port: {number: 443, name: pass, protocol: TLS}, hosts: [shop.example.com], tls: {mode: PASSTHROUGH}}
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec:
  hosts: ["*.wild.example.com"]
  resolution: NONE
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: fixed}
spec:
  hosts: [fixed.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.0.2.1}, {address: 192.0.2.2, ports: {http: 8080}, weight: 3, locality: r1/z1}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: everything}
spec:
  selector: {matchLabels: {app: shop}}
  action: ALLOW
  rules:
  - from:
    - source:
        principals: ["cluster.local/ns/default/sa/client", "*/sa/x", "cluster.local/*", "*"]
        notPrincipals: [y]
        requestPrincipals: ["issuer/subject", "*", "issuer/*"]
        namespaces: [default, "foo-*", "*-bar"]
        notNamespaces: [evil]
        ipBlocks: [10.0.0.0/8, 127.0.0.1]
        notIpBlocks: [nonsense]
        remoteIpBlocks: [192.0.2.0/24]
    - source: {serviceAccounts: [client, other/app]}
    to:
    - operation: {hosts: [shop.example.com, "*.example.com"], methods: [GET], paths: [/a, /b*, "*/c"], ports: ["8080"], notPaths: [/d], notHosts: [x], notMethods: [PUT], notPorts: ["1"]}
    when:
    - {key: "request.headers[x-token]", values: [admin, "a*"], notValues: [b]}
    - {key: "request.auth.claims[groups]", values: [admin]}
    - {key: "request.auth.claims[nested][deep]", values: [x]}
    - {key: request.auth.audiences, values: [shop]}
    - {key: source.ip, values: [10.0.0.1]}
    - {key: destination.port, values: ["8080"]}
    - {key: destination.ip, values: [127.0.0.0/8]}
    - {key: connection.sni, values: ["*.example.com"]}
    - {key: source.namespace, notValues: [evil]}
    - {key: experimental.unknown, values: [x]}
  - {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audit}
spec:
  action: AUDIT
  rules:
  - from: [{source: {notServiceAccounts: [a/b], notRequestPrincipals: ["*"]}}]
    to: [{operation: {paths: ["/a/{*}/b", "/c/{**}"], notPaths: ["/d/{**}/e"]}}]
    when:
    - {key: source.serviceAccount, values: [client]}
    - {key: source.principal, notValues: ["*"]}
    - {key: request.auth.principal, values: ["*/x", "y*", z]}
    - {key: request.auth.presenter, values: ["*"]}
    - {key: remote.ip, notValues: [192.0.2.1]}
    - {key: "experimental.envoy.filters.network.mysql_proxy[db.table]", values: ["[update]", all]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, annotations: {istio.io/dry-run: "true"}}
spec: {action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: custom}
spec: {action: CUSTOM, provider: {name: guard}, rules: [{to: [{operation: {paths: [/guarded], ports: ["9000"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec:
  jwtRules:
  - issuer: one
    audiences: [shop]
    fromHeaders: [{name: x-token, prefix: "T "}, {name: x-other}]
    fromParams: [key]
    fromCookies: [session]
    forwardOriginalToken: true
    outputPayloadToHeader: x-payload
    outputClaimToHeaders: [{header: x-sub, claim: sub}]
  - {issuer: two, jwksUri: "http://keys/jwks.json"}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec:
  accessLogging:
  - {providers: [{name: file}, {name: als}, {name: tcp}], filter: {expression: "response.code >= 400"}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {action: DENY, rules: [{to: [{operation: {methods: [DELETE]}}]}, {from: [{source: {namespaces: [evil]}}]}]}
"""

GRPC_SHOP: dict[str, object] = {"service": "default/shop.default.svc.cluster.local", "port": 81}
PROVIDERS = [
    {
        "name": "guard",
        "envoyExtAuthzGrpc": {
            **GRPC_SHOP,
            "timeout": "1s",
            "failOpen": True,
            "statusOnError": "503",
            "clearRouteCache": True,
            "includeRequestBodyInCheck": {"maxRequestBytes": 10, "allowPartialMessage": True, "packAsBytes": True},
        },
    },
    {"name": "file", "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"text": "%METADATA(ROUTE:a:b)%"}}},
    {"name": "als", "envoyHttpAls": GRPC_SHOP},
    {"name": "tcp", "envoyTcpAls": {**GRPC_SHOP, "logName": "mine"}},
]
PORTS = [
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "grpc-api", "port": 81, "targetPort": 8081},
    {"name": "tcp-raw", "port": 9000},
    {"name": "https", "port": 443, "targetPort": 8443},
    {"name": "guess", "port": 82, "targetPort": "named"},
]


@pytest.fixture(params=["PERMISSIVE", "STRICT", "DISABLE"])
def world(request: pytest.FixtureRequest) -> World:
    """A world in which everything is used at once, in one mTLS mode."""
    found = World()
    found.mesh_config = {
        "accessLogFile": "/dev/stdout",
        "accessLogEncoding": "JSON",
        "trustDomainAliases": ["old.example.com"],
        "extensionProviders": PROVIDERS,
    }
    found.add(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": "n1",
                "labels": {"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"},
            },
        }
    )
    found.pod("client", {"app": "client"}, node="n1")
    found.pod("shop-1", {"app": "shop", "version": "v1"}, ports=(("named", 8082), ("", 7000)), node="n1")
    found.pod("shop-2", {"app": "shop", "version": "v2", "istio-locality": "r2.z2"}, ports=(("named", 8082),))
    found.service("shop", {"app": "shop"}, PORTS)
    found.service("headless", {"app": "shop"}, PORTS, headless=True)
    found.pod("ingress", {"istio": "ingressgateway"})
    edge = [{"name": f"p{p}", "port": p, "targetPort": t} for p, t in ((80, 8080), (443, 8443), (9000, 9000))]
    found.service("istio-ingressgateway", {"istio": "ingressgateway"}, edge)
    found.apply(EVERYTHING)
    found.apply(
        "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: istio-system},"
        f" spec: {{mtls: {{mode: {request.param}}}}}}}"
    )
    return found


@pytest.mark.parametrize(("pod", "kind"), [("client", "sidecar"), ("shop-1", "sidecar"), ("ingress", "router")])
def test_envoy_accepts_everything(world: World, validate: Validate, pod: str, kind: str) -> None:
    validate(world, pod, kind)


def test_the_shipped_descriptors_know_everything(world: World) -> None:
    for pod, kind in (("client", "sidecar"), ("shop-1", "sidecar"), ("ingress", "router")):
        for type_url, resources in world.build(pod, kind).items():
            for resource in resources.values():
                assert proto.to_message(type_url, resource).SerializeToString()


def test_envoy_accepts_an_empty_cluster(validate: Validate) -> None:
    world = World()
    world.pod("alone", {})
    validate(world, "alone")
    validate(world, "alone", "router")
