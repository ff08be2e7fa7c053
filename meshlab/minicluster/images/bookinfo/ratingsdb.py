"""Where version 2 of ratings has its stars from: MongoDB, or MySQL if ``DB_TYPE`` says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from meshlab.minicluster.images.mongodb.client import Unreachable, find_all
from meshlab.minicluster.images.mysql.client import QueryFailed, query
from meshlab.minicluster.pod import PodContext

NO_CONNECTION = "could not connect to ratings database"
NOT_LOADED = "could not load ratings from database"


class DatabaseError(Exception):
    """No stars; the text is what the service answers."""


async def stored_ratings(pod: PodContext) -> tuple[Any, Any]:
    """The two reviewers' stars.

    Raises:
        DatabaseError: the database gives none.
    """
    if os.environ.get("DB_TYPE") == "mysql":
        rows = await _from_mysql(pod)
        return _nth(rows, 0), _nth(rows, 1)
    documents = await _from_mongodb(pod)
    if len(documents) < 2:
        raise DatabaseError(NOT_LOADED)
    return documents[0].get("rating"), documents[1].get("rating")


async def _from_mysql(pod: PodContext) -> list[int]:
    port = os.environ.get("MYSQL_DB_PORT", "")
    try:
        rows = await query(
            pod,
            os.environ.get("MYSQL_DB_HOST", ""),
            int(port) if port.isdecimal() else 3306,
            user=os.environ.get("MYSQL_DB_USER", ""),
            password=os.environ.get("MYSQL_DB_PASSWORD", ""),
            database="test",
            statement="SELECT Rating FROM ratings",
        )
    except QueryFailed as error:
        raise DatabaseError(NO_CONNECTION) from error
    return [int(rating) for (rating,) in rows if rating is not None]


async def _from_mongodb(pod: PodContext) -> list[dict[str, Any]]:
    try:
        return await find_all(pod, os.environ.get("MONGO_DB_URL", ""), "ratings")
    except Unreachable as error:
        raise DatabaseError(NO_CONNECTION) from error
    except LookupError as error:
        raise DatabaseError(NOT_LOADED) from error


def _nth(ratings: Sequence[int], index: int) -> int:
    return ratings[index] if index < len(ratings) else 0
