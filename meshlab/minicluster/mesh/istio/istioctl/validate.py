"""``istioctl validate``: check Istio resources in files, without a cluster.

What a file says is held against the messages that istiod knows (unknown fields, wrong types) and the rules of its
webhook; the stricter schemas and CEL rules of the definitions are the API server's business, as upstream. Services and
Deployments get the two questions about them that upstream asks here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from meshlab.minicluster.kubeapi import Obj
from meshlab.minicluster.mesh.istio.analysis import files
from meshlab.minicluster.mesh.istio.istioctl.errors import CommandError
from meshlab.minicluster.mesh.istio.istioctl.flags import CommandParser
from meshlab.minicluster.mesh.istio.messages import schema_of, unreadable
from meshlab.minicluster.mesh.istio.reading import mapping, objects, text
from meshlab.minicluster.mesh.istio.validation import judge
from meshlab.minicluster.mesh.istio.validation_common import PROTOCOLS, quote

EXTENSIONS = (".json", ".yaml", ".yml")
VALID_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
OPS = "https://istio.io/v1.31/docs/ops/"
REQUIREMENTS = f"{OPS}deployment/application-requirements/"
PROTOCOL_SELECTION = f"{OPS}configuration/traffic-management/protocol-selection/"
NO_FILE = """error: you must specify resources by --filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'"""
APP_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
VERSION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    parser = CommandParser("validate", "Validate Istio policy and rules files")
    parser.add_argument("-f", "--filename", action="append", default=[], dest="files", metavar="FILE")
    parser.add_boolean("-x", "--referential", default=True, help="accepted; references are analyze's business")
    arguments = parser.parse(argv)
    names = [name for given in arguments.files for name in given.split(",")]
    if not names:
        raise CommandError(NO_FILE)
    errors: list[str] = []
    warnings: dict[str, list[str]] = {}
    for name in _expanded(names, errors):
        found = _Findings(arguments.namespace or "default", arguments.istioNamespace)
        found.read(name)
        errors += found.errors
        warnings[name] = found.warnings
    for name, told in warnings.items():
        if told:
            shown = "\n\t" + "\n\t".join(f"* {warning}" for warning in told) + "\n"
            print(shown if name == "-" else f"{quote(name)} has warnings: {shown}", end="" if name == "-" else "\n")
        elif not errors:
            print("validation succeed" if name == "-" else f"{quote(name)} is valid")
    if errors:
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        raise CommandError(f"{count} occurred:\n" + "".join(f"\t* {error}\n" for error in errors) + "\n")
    return 0


def _expanded(names: Iterable[str], errors: list[str]) -> Iterator[str]:
    """The files that are meant: of a directory those whose names say that they may hold resources."""
    for name in names:
        path = Path(name)
        if name != "-" and not path.exists():
            errors.append(f"cannot stat file {quote(name)}: stat {name}: no such file or directory")
        elif name != "-" and path.is_dir():
            yield from (str(item) for item in sorted(path.rglob("*")) if item.is_file() and item.suffix in EXTENSIONS)
        else:
            yield name


class _Findings:
    """What is to be said about one file.

    Args:
        namespace: for resources that name none.
        istio_namespace: whose own Services and Deployments are not asked about.
    """

    def __init__(self, namespace: str, istio_namespace: str) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self._namespace = namespace
        self._istio_namespace = istio_namespace

    def read(self, name: str) -> None:
        """Judge every document of a file."""
        try:
            content = sys.stdin.read() if name == "-" else Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            self.errors.append(f"cannot read file {quote(name)}: {error}")
            return
        try:
            for document, _ in files.documents(content, name):
                if isinstance(document, dict):
                    self._document(document)
                elif document is not None:
                    self.errors.append(f"failed to decode file {name}: a Kubernetes object is a mapping")
        except files.FileError as error:
            self.errors.append(f"failed to decode file {name}: {error}")

    def _document(self, obj: Obj) -> None:
        if text(obj.get("kind")).endswith("List") and isinstance(obj.get("items"), list):
            for item in objects(obj["items"]):
                self._document(dict(item))
            return
        metadata = mapping(obj.get("metadata"))
        where = f"{text(obj.get('kind'))}/{text(metadata.get('namespace'))}/{text(metadata.get('name'))}:"
        errors, warnings = self._judged(obj, metadata)
        self.errors += [f"{where} {error}" for error in errors]
        self.warnings += [f"{where} {warning}" for warning in warnings]

    def _judged(self, obj: Obj, metadata: Mapping[str, object]) -> tuple[Sequence[str], Sequence[str]]:
        if schema_of(obj) is not None:
            if problem := unreadable(obj):
                return [f"cannot parse proto message: {problem}"], ()
            if unknown := sorted(obj.keys() - VALID_FIELDS):
                return [f"unknown field {quote(field)}" for field in unknown], ()
            found = judge({**obj, "metadata": {"namespace": self._namespace, **metadata}})
            return found.errors, found.warnings
        if metadata.get("namespace") != self._istio_namespace:
            if obj.get("kind") == "Service":
                return list(_service(obj, metadata)), ()
            if obj.get("kind") == "Deployment":
                _tell_deployment(obj, metadata)
        return (), ()


def _service(obj: Obj, metadata: Mapping[str, object]) -> Iterator[str]:
    """Ports whose protocol Istio cannot tell from their names."""
    shown = quote(f"{text(metadata.get('name'))}/{text(metadata.get('namespace'))}/:")
    for port in objects(mapping(obj.get("spec")).get("ports")):
        if text(port.get("protocol")).upper() == "UDP":
            continue
        if port.get("appProtocol") is not None:
            if text(port["appProtocol"]).upper() not in PROTOCOLS:
                yield (
                    f"service {shown} doesn't follow Istio protocol selection. This is not recommended, "
                    f"See {PROTOCOL_SELECTION}"
                )
        elif port.get("name") is None:
            yield f"service {shown} has an unnamed port. This is not recommended, See {REQUIREMENTS}"
        elif text(port["name"]).partition("-")[0].upper() not in PROTOCOLS and not _grpc_web(text(port["name"])):
            yield (
                f"service {shown} port {quote(text(port['name']))} does not follow the Istio naming convention. "
                f"See {REQUIREMENTS}"
            )


def _grpc_web(name: str) -> bool:
    return name == "grpc-web" or name.startswith("grpc-web-")


def _tell_deployment(obj: Obj, metadata: Mapping[str, object]) -> None:
    """Say of a Deployment without the labels that its telemetry will not name it."""
    template = mapping(mapping(mapping(obj.get("spec")).get("template")).get("metadata"))
    labels = mapping(template.get("labels"))
    if any(label in labels for label in APP_LABELS) and any(label in labels for label in VERSION_LABELS):
        return
    name = quote(f"{text(metadata.get('name'))}/{text(metadata.get('namespace'))}:")
    shown = " ".join(f"{quote(key)}:{quote(text(labels[key]))}" for key in sorted(labels))
    print(f"deployment {name} may not provide Istio metrics and telemetry labels: map[{shown}]. See {REQUIREMENTS}")
