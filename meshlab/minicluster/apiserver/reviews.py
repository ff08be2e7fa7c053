"""Reviews: questions about identities and permissions, answered at once and never stored."""

from __future__ import annotations

from collections.abc import Callable

from meshlab.minicluster.apiserver import statuses
from meshlab.minicluster.apiserver.authz import Action, Authorizer
from meshlab.minicluster.apiserver.tokens import DEFAULT_AUDIENCE, InvalidToken, Tokens
from meshlab.minicluster.apiserver.users import User
from meshlab.minicluster.kubeapi import Obj


class Reviews:
    """Answers the kinds of ``authentication.k8s.io`` and ``authorization.k8s.io``."""

    def __init__(self, authorizer: Authorizer, tokens: Tokens) -> None:
        self._authorizer = authorizer
        self._tokens = tokens
        self._answers: dict[str, Callable[[User, str, Obj], Obj]] = {
            "TokenReview": self._token,
            "SelfSubjectReview": self._self,
            "SubjectAccessReview": self._access,
            "LocalSubjectAccessReview": self._access,
            "SelfSubjectAccessReview": self._self_access,
            "SelfSubjectRulesReview": self._self_rules,
        }

    def answer(self, kind: str, user: User, namespace: str, review: Obj) -> Obj:
        """The review with its status."""
        status = self._answers[kind](user, namespace, review)
        return {**review, "metadata": {"creationTimestamp": None, **(review.get("metadata") or {})}, "status": status}

    def _token(self, user: User, namespace: str, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        if not spec.get("token"):
            raise statuses.bad_request("token is required for TokenReview in authentication")
        audiences = spec.get("audiences") or [DEFAULT_AUDIENCE]
        try:
            verified = self._tokens.verify(spec["token"], audiences)
        except InvalidToken as error:
            return {"user": {}, "error": f"[invalid bearer token, {error}]"}
        return {
            "authenticated": True,
            "user": verified.user.to_user_info(),
            "audiences": list(verified.audiences),
        }

    def _self(self, user: User, namespace: str, review: Obj) -> Obj:
        return {"userInfo": user.to_user_info()}

    def _self_access(self, user: User, namespace: str, review: Obj) -> Obj:
        return self._decide(user, review.get("spec") or {})

    def _access(self, user: User, namespace: str, review: Obj) -> Obj:
        spec = review.get("spec") or {}
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        subject = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)
        return self._decide(subject, spec)

    def _decide(self, subject: User, spec: Obj) -> Obj:
        asked = spec.get("resourceAttributes")
        if asked is not None:
            action = Action(
                asked.get("verb") or "",
                asked.get("group") or "",
                asked.get("resource") or "",
                asked.get("subresource") or "",
                asked.get("namespace") or "",
                asked.get("name") or "",
            )
        else:
            path = spec.get("nonResourceAttributes")
            if path is None:
                raise statuses.bad_request(
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified"
                )
            action = Action(path.get("verb") or "", path=path.get("path") or "")
        reason = self._authorizer.reason(subject, action)
        status: Obj = {"allowed": reason is not None}
        if reason:
            status["reason"] = reason
        return status

    def _self_rules(self, user: User, namespace: str, review: Obj) -> Obj:
        resources: list[Obj] = []
        paths: list[Obj] = []
        for rule in self._authorizer.rules(user, (review.get("spec") or {}).get("namespace") or ""):
            (paths if rule.get("nonResourceURLs") else resources).append(rule)
        return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}
