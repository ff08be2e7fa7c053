"""Files with lines, and what the report makes of them."""

from __future__ import annotations

import json

import pytest

from meshlab.minicluster.mesh.istio.analysis import files, report
from meshlab.minicluster.mesh.istio.analysis.model import Snapshot
from meshlab.minicluster.mesh.istio.analysis.virtualservice import hosts

TEXT = """\
# a comment
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1alpha3
  kind: VirtualService
  metadata:
    name: a
    creationTimestamp: 2024-01-01T00:00:00Z
  spec:
    hosts: [a]
    http:
    - route:
      - destination:
          host: nobody
---
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


def test_objects_lines_and_namespaces() -> None:
    resources = list(files.read(TEXT, "f.yaml", "mine"))
    assert [(item.kind, item.full_name, item.namespace) for item in resources] == [
        ("VirtualService", "mine/a", "mine"),
        ("Namespace", "shop", "shop"),
    ]
    assert resources[0].obj["metadata"]["creationTimestamp"] == "2024-01-01T00:00:00Z"
    (message,) = hosts(Snapshot(resources))
    assert message.reference == "f.yaml:15"
    line = 'Error [IST0101] (VirtualService mine/a f.yaml:15) Referenced host not found: "nobody"'
    assert report.line(message) == line
    assert json.loads(report.render([message], "json")) == [
        {
            "code": "IST0101",
            "documentationUrl": "https://istio.io/v1.31/docs/reference/config/analysis/ist0101/?ref=istioctl-analyze",
            "level": "Error",
            "message": 'Referenced host not found: "nobody"',
            "origin": "VirtualService mine/a",
            "reference": "f.yaml:15",
        }
    ]
    assert "code: IST0101" in report.render([message], "yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "line 1"),
        ("- 1\n", "a Kubernetes object is a mapping"),
        ("\n\nkind: X\n", "line 3: the document has no apiVersion and kind"),
        ("apiVersion: v1\nkind: Pod\nmetadata: 3\n", "has no metadata.name"),
    ],
)
def test_bad_files(text: str, words: str) -> None:
    with pytest.raises(files.FileError, match=r"f\.yaml") as error:
        list(files.read(text, "f.yaml", "default"))
    assert words in str(error.value)
