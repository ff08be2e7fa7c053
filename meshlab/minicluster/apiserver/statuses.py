"""The errors of the API, each worded as upstream words it (apimachinery ``api/errors``, ``util/validation/field``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meshlab.minicluster.apiserver.resources import Resource
from meshlab.minicluster.kubeapi import Obj, StatusError


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a field: what a 422 lists under ``details.causes``."""

    reason: str
    field: str
    message: str

    def to_cause(self) -> Obj:
        """The ``StatusCause`` of this finding."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def _shown(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(field: str, detail: str = "") -> Problem:
    """A field that must be given is not there."""
    return Problem("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def invalid_value(field: str, value: Any, detail: str) -> Problem:
    """A field has a value that it cannot have."""
    return Problem("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def not_supported(field: str, value: Any, supported: Sequence[str]) -> Problem:
    """A field's value is not one of an enumeration."""
    choices = ", ".join(_shown(choice) for choice in supported)
    return Problem("FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {choices}")


def duplicate(field: str, value: Any) -> Problem:
    """A value occurs twice where it must be unique."""
    return Problem("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")


def forbidden_field(field: str, detail: str) -> Problem:
    """A field may not be set, or not now."""
    return Problem("FieldValueForbidden", field, f"Forbidden: {detail}")


def _details(resource: Resource, name: str) -> Obj:
    details: Obj = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def not_found(resource: Resource, name: str) -> StatusError:
    """404: there is no such object."""
    return StatusError(404, "NotFound", f'{resource.group_resource} "{name}" not found', _details(resource, name))


def no_such_path() -> StatusError:
    """404: nothing is served there."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> StatusError:
    """409: the name is taken."""
    message = f'{resource.group_resource} "{name}" already exists'
    return StatusError(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: Resource, name: str, why: str | None = None) -> StatusError:
    """409: the object changed since it was read, or a precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return StatusError(409, "Conflict", message, _details(resource, name))


def precondition_failed(what: str, wanted: str, found: str) -> StatusError:
    """409: the uid or resourceVersion that a delete insists on is another one."""
    message = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
    return StatusError(409, "Conflict", message, {})


def invalid(resource: Resource, name: str, problems: Sequence[Problem]) -> StatusError:
    """422: the object is not valid; kubectl prints the causes as they stand here."""
    texts = [f"{problem.field}: {problem.message}" for problem in problems]
    listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = _details(resource, name)
    details["kind"] = resource.kind
    details["causes"] = [problem.to_cause() for problem in problems]
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def bad_request(message: str) -> StatusError:
    """400: the request itself makes no sense."""
    return StatusError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Obj] = ()) -> StatusError:
    """403: authorization or admission says no."""
    subject = f'{resource.group_resource} "{name}"' if name else resource.group_resource
    details = _details(resource, name)
    if causes:
        details["causes"] = list(causes)
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def unauthorized() -> StatusError:
    """401: no credentials, or none that hold."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> StatusError:
    """405: the resource has no such verb."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406: none of the media types that the client accepts is served."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415: the body is in a format that is not understood here."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return StatusError(415, "UnsupportedMediaType", message)


def expired(wanted: int, oldest: int) -> StatusError:
    """410: a watch asks for events that are no longer kept."""
    return StatusError(410, "Expired", f"too old resource version: {wanted} ({oldest})")


def internal(message: str) -> StatusError:
    """500: worded as upstream's ``NewInternalError``."""
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details)
