"""The Gateway API, as Istio understands it: Kubernetes objects in, parts of the neutral model and statuses out.

`translate.translate_gateway_api` is the front door. Listeners become `routing.Gateway`s of one server each, which the
proxies behind a Service serve; routes become `routing.RouteTable`s, one per listener or service and host, in the order
that the API prescribes. What each resource's status should say comes out beside them (`status`); writing it, and the
Deployments of managed Gateways, is istiod's work.

Everything here is pure. Rules, reasons and texts are those of Istio's ``pilot/pkg/config/kube/gateway``.
"""
