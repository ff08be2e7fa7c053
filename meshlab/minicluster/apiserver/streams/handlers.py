"""The one door of the streams: from a pod's subresource to the code that speaks its dialects."""

from __future__ import annotations

from functools import partial
from typing import Literal

from aiohttp import web

from meshlab.minicluster.apiserver.streams.backend import PodBackend
from meshlab.minicluster.apiserver.streams.logs import LogOptions, serve_log
from meshlab.minicluster.apiserver.streams.portforward import Target, serve_port_forward
from meshlab.minicluster.apiserver.streams.query import choose_container, parse_bool
from meshlab.minicluster.apiserver.streams.remotecommand import serve_remote_command
from meshlab.minicluster.kubeapi import Obj, StatusError

Verb = Literal["log", "exec", "attach", "portforward"]


async def handle_stream(request: web.Request, backend: PodBackend, verb: Verb, pod: Obj) -> web.StreamResponse:
    """Serve a streaming subresource of a pod that the client may use.

    Args:
        request: the client's request; GET, or POST for SPDY.
        backend: the node.
        verb: which subresource.
        pod: the pod as stored.

    Raises:
        StatusError: anything that goes wrong before the answer has begun.
    """
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    query = request.query
    if verb == "log":
        container = choose_container(pod, query.get("container", ""))
        options = LogOptions.from_query(query, name)
        return await serve_log(request, backend, pod, container, options)
    if not pod["spec"].get("nodeName"):
        raise StatusError(400, "BadRequest", f"pod {name} does not have a host assigned")
    if verb == "portforward":
        target = Target(name, pod["metadata"].get("uid", ""), partial(backend.open_port, namespace, name))
        return await serve_port_forward(request, target)
    container = choose_container(pod, query.get("container", ""))
    stdin, stdout, stderr, tty = (parse_bool(query.get(key)) for key in ("stdin", "stdout", "stderr", "tty"))
    if not (stdin or stdout or stderr):
        raise StatusError(400, "BadRequest", "you must specify at least 1 of stdin, stdout, stderr")
    if verb == "attach":
        start = partial(backend.attach, namespace, name, container, tty=tty, stdin=stdin)
    else:
        command = query.getall("command", [])
        if not command:
            raise StatusError(400, "BadRequest", "you must specify a command")
        start = partial(backend.exec, namespace, name, container, command, tty=tty, stdin=stdin)
    return await serve_remote_command(
        request, start, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty, exec_=verb == "exec"
    )
