"""What the agent writes for Envoy: its bootstrap, and the token file that Envoy reads again whenever it is replaced.

A token in the bootstrap would be good for as long as it lives and no longer. So it goes the way of a secret in a file
(SDS): the filter ``credential_injector`` puts it on every stream to istiod, and a new token needs no restart.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.envoy.bootstrap import XDS_CLUSTER, Bootstrap, bootstrap
from meshlab.minicluster.mesh.envoy.vocabulary import HTTP_PROTOCOL_OPTIONS, SECRET, extension

SECRET_NAME = "istio-token"


def proxy_bootstrap(wanted: Bootstrap, token_file: Path) -> Obj:
    """The bootstrap of `mesh.envoy`, with the token taken from a file that `write_token` keeps.

    Args:
        wanted: what the bootstrap is made of; its ``token`` is not used.
        token_file: an SDS file.
    """
    result = copy.deepcopy(bootstrap(wanted))
    for service in result["dynamic_resources"]["ads_config"]["grpc_services"]:
        service.pop("initial_metadata", None)
    source = {"path_config_source": {"path": str(token_file)}, "resource_api_version": "V3"}
    injector = extension(
        "envoy.filters.http.credential_injector",
        "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=extension(
            "envoy.http.injected_credentials.generic",
            "envoy.extensions.http.injected_credentials.generic.v3.Generic",
            header="authorization",
            credential={"name": SECRET_NAME, "sds_config": source},
        ),
    )
    codec = extension(
        "envoy.filters.http.upstream_codec", "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    )
    for cluster in result["static_resources"]["clusters"]:
        if cluster["name"] == XDS_CLUSTER:
            cluster["typed_extension_protocol_options"][HTTP_PROTOCOL_OPTIONS]["http_filters"] = [injector, codec]
    return result


def write_token(token_file: Path, token: str) -> None:
    """Replace the SDS file; Envoy notices the rename."""
    secret = {"@type": SECRET, "name": SECRET_NAME, "generic_secret": {"secret": {"inline_string": f"Bearer {token}"}}}
    write_private(token_file, json.dumps({"resources": [secret]}))


def write_private(path: Path, text: str) -> None:
    """Replace a file that nobody else may read, in one step."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
