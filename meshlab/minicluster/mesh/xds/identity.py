"""What was made of an object, found by the object itself: no comparison, no hash of its content.

It pays where the same objects come again and again, as most of what `mesh.envoy.build` makes for a push was there
already in the push before.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ByIdentity(Generic[T]):
    """Results by the object that they were made of; it keeps the objects alive, so that an identity stays theirs.

    Args:
        earlier: of the push before; what is asked for again is taken over from it, the rest is forgotten.
    """

    def __init__(self, earlier: ByIdentity[T] | None = None) -> None:
        self._known: dict[int, tuple[Any, T]] = {}
        self._earlier = earlier._known if earlier is not None else {}

    def get(self, value: object) -> T | None:
        """What was made of this very object."""
        found = self._known.get(id(value)) or self._earlier.get(id(value))
        if found is None or found[0] is not value:
            return None
        self._known[id(value)] = found
        return found[1]

    def put(self, value: object, result: T) -> T:
        """Remember it; gives it back."""
        self._known[id(value)] = (value, result)
        return result
