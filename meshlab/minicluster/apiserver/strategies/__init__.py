"""Which strategy each resource has: one row per kind that is particular, everything else has the general one."""

from __future__ import annotations

from meshlab.minicluster.apiserver.catalog import Catalog
from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.apiserver.strategies import core, extension, pods, services, workloads
from meshlab.minicluster.apiserver.strategies.base import Environment, Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    "namespaces": core.NamespaceStrategy,
    "nodes": core.NodeStrategy,
    "configmaps": core.ConfigMapStrategy,
    "secrets": core.SecretStrategy,
    "serviceaccounts": core.ReturnedStrategy,
    "services": services.ServiceStrategy,
    "endpoints": core.EndpointsStrategy,
    "discovery.k8s.io/endpointslices": core.EndpointsStrategy,
    "events": core.EventStrategy,
    "pods": pods.PodStrategy,
    "podtemplates": core.ReturnedStrategy,
    "resourcequotas": core.ReturnedStrategy,
    "limitranges": core.PlainStrategy,
    "persistentvolumes": core.PersistentVolumeStrategy,
    "persistentvolumeclaims": core.PersistentVolumeClaimStrategy,
    "replicationcontrollers": workloads.ReplicationControllerStrategy,
    "apps/deployments": workloads.DeploymentStrategy,
    "apps/replicasets": workloads.ReplicaSetStrategy,
    "apps/statefulsets": workloads.StatefulSetStrategy,
    "apps/daemonsets": workloads.DaemonSetStrategy,
    "apps/controllerrevisions": core.PlainStrategy,
    "batch/jobs": workloads.JobStrategy,
    "batch/cronjobs": workloads.CronJobStrategy,
    "autoscaling/horizontalpodautoscalers": core.HorizontalPodAutoscalerStrategy,
    "networking.k8s.io/ingresses": core.IngressStrategy,
    "networking.k8s.io/networkpolicies": core.NetworkPolicyStrategy,
    "policy/poddisruptionbudgets": core.PodDisruptionBudgetStrategy,
    "rbac.authorization.k8s.io/roles": core.RoleStrategy,
    "rbac.authorization.k8s.io/clusterroles": core.RoleStrategy,
    "rbac.authorization.k8s.io/rolebindings": core.RoleBindingStrategy,
    "rbac.authorization.k8s.io/clusterrolebindings": core.RoleBindingStrategy,
    "scheduling.k8s.io/priorityclasses": core.PriorityClassStrategy,
    "storage.k8s.io/storageclasses": core.ReturnedStrategy,
    "storage.k8s.io/csidrivers": core.ReturnedStrategy,
    "storage.k8s.io/csinodes": core.ReturnedStrategy,
    "storage.k8s.io/csistoragecapacities": core.PlainStrategy,
    "storage.k8s.io/volumeattachments": core.ReturnedStrategy,
    "storage.k8s.io/volumeattributesclasses": core.ReturnedStrategy,
    "coordination.k8s.io/leases": core.LeaseStrategy,
    "certificates.k8s.io/certificatesigningrequests": core.CertificateSigningRequestStrategy,
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": extension.WebhookConfigurationStrategy,
    "admissionregistration.k8s.io/validatingwebhookconfigurations": extension.WebhookConfigurationStrategy,
    "apiextensions.k8s.io/customresourcedefinitions": extension.DefinitionStrategy,
}


class Strategies:
    """The strategy of each resource, made when first needed and then kept."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._builtin: dict[str, Strategy] = {}
        self._custom: dict[tuple[str, str, str], extension.CustomStrategy] = {}
        catalog: Catalog = environment.catalog
        # Those that hold addresses or serve definitions take up again what the store brought back.
        for resource in catalog.resources():
            if resource.stored:
                self.of(resource)

    def of(self, resource: Resource) -> Strategy:
        """The strategy of a resource."""
        version = self._environment.catalog.custom(resource)
        if version is not None:
            key = (resource.group, resource.version, resource.plural)
            custom = self._custom.get(key)
            if custom is None or custom.version is not version:
                custom = self._custom[key] = extension.CustomStrategy(self._environment, version)
            return custom
        found = self._builtin.get(resource.storage)
        if found is None:
            kind = STRATEGIES.get(resource.storage, Strategy)
            found = self._builtin[resource.storage] = kind(self._environment, resource)
        return found
