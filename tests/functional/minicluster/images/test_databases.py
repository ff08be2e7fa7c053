"""Bookinfo's databases, judged by the drivers that the world uses, and by ratings."""

from __future__ import annotations

import asyncio
from typing import Any

import pymongo
import pymongo.errors
import pymysql
import pytest

from meshlab.minicluster.pod import PodContext

from .conftest import Lab, listening, stop

BOOKINFO = "docker.io/istio/examples-bookinfo"
CURL = "curlimages/curl"
PASSWORD = {"MYSQL_ROOT_PASSWORD": "secret"}
MYSQL_ARGUMENTS = ("--default-authentication-plugin", "mysql_native_password")


@pytest.fixture
async def mongodb(lab: Lab) -> PodContext:
    pod = lab.pod(name="mongodb")
    await listening(pod, 27017, await lab.start(f"{BOOKINFO}-mongodb", pod=pod))
    return pod


@pytest.fixture
async def mysqldb(lab: Lab) -> PodContext:
    pod = lab.pod(name="mysqldb")
    await listening(pod, 3306, await lab.start(f"{BOOKINFO}-mysqldb", *MYSQL_ARGUMENTS, pod=pod, env=PASSWORD))
    return pod


async def rating(lab: Lab, **environment: str) -> str:
    """What version 2 of ratings answers."""
    pod = lab.pod()
    process = await lab.start(f"{BOOKINFO}-ratings-v2", pod=pod, env=environment)
    await listening(pod, 9080, process)
    _, out, _ = await lab.run(CURL, "curl", "-sw", "%{http_code}", f"http://{pod.pod_ip}:9080/ratings/3", pod=lab.pod())
    await stop(process)
    return out


async def test_a_driver_stores_and_finds_documents(mongodb: PodContext) -> None:
    def drive() -> None:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongodb.pod_ip, serverSelectionTimeoutMS=5000)
        with client:
            ratings = client["test"]["ratings"]
            assert [document["rating"] for document in ratings.find()] == [5, 4]
            inserted = ratings.insert_one({"rating": 3, "who": {"name": "ä"}, "parts": [1.5, None, True, 2**40]})
            found = ratings.find_one({"_id": inserted.inserted_id})
            assert found is not None
            assert (found["who"], found["parts"]) == ({"name": "ä"}, [1.5, None, True, 2**40])
            assert [document["rating"] for document in ratings.find({"rating": {"$lt": 5}}, limit=1)] == [4]
            assert ratings.update_many({"rating": {"$gte": 4}}, {"$set": {"rating": 1}}).modified_count == 2
            assert ratings.delete_one({"rating": 1}).deleted_count == 1
            assert [document["rating"] for document in ratings.find()] == [1, 3]
            assert client.list_database_names() == ["test"]
            with pytest.raises(pymongo.errors.OperationFailure, match="no such command: 'aggregate'"):
                ratings.aggregate([])
            with pytest.raises(pymongo.errors.OperationFailure, match=r"unknown operator: \$near"):
                ratings.find_one({"rating": {"$near": 1}})

    await asyncio.to_thread(drive)


async def test_what_is_not_the_protocol_ends_the_connection_only(mongodb: PodContext) -> None:
    reader, writer = await asyncio.open_connection(mongodb.pod_ip, 27017)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    await listening(mongodb, 27017)


async def test_a_driver_runs_statements(mysqldb: PodContext) -> None:
    def drive() -> None:
        with pymysql.connect(host=mysqldb.pod_ip, user="root", password="secret", database="test") as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT Rating FROM ratings")
            assert cursor.fetchall() == ((5,), (4,))
            assert cursor.execute("UPDATE ratings SET Rating = %s WHERE ReviewID = %s", (1, 2)) == 1
            cursor.execute("SELECT ReviewID, Rating * 1.5 AS more, 'ä' AS text, NULL FROM ratings ORDER BY ReviewID")
            assert cursor.fetchall() == ((1, 7.5, "ä", None), (2, 1.5, "ä", None))
            cursor.execute("SELECT @@version_comment LIMIT 1")
            assert cursor.fetchone() == ("MySQL Community Server - GPL",)
            cursor.execute("SHOW TABLES")
            assert cursor.fetchall() == (("ratings",),)
            with pytest.raises(pymysql.err.ProgrammingError, match=r"Table 'test.stars' doesn't exist"):
                cursor.execute("SELECT * FROM stars")
            with pytest.raises(pymysql.err.ProgrammingError, match="You have an error in your SQL syntax"):
                cursor.execute("SELEC 1")
            with pytest.raises(pymysql.err.MySQLError):
                cursor.execute("ATTACH DATABASE '/tmp/stolen' AS stolen")

    await asyncio.to_thread(drive)


REFUSED = [
    ("root", "wrong", "test", r"Access denied for user 'root'@'127[\d.]+' \(using password: YES\)"),
    ("root", "", "test", r"Access denied .*\(using password: NO\)"),
    ("somebody", "secret", "test", "Access denied for user 'somebody'"),
    ("root", "secret", "nothing", "Unknown database 'nothing'"),
]


async def test_who_may_not_come_in(mysqldb: PodContext) -> None:
    def connect(user: str, password: str, database: str) -> None:
        pymysql.connect(host=mysqldb.pod_ip, user=user, password=password, database=database)

    for user, password, database, said in REFUSED:
        with pytest.raises(pymysql.err.OperationalError, match=said):
            await asyncio.to_thread(connect, user, password, database)


async def test_a_password_must_be_given(lab: Lab) -> None:
    process = await lab.start(f"{BOOKINFO}-mysqldb", pod=lab.pod())
    assert process.stderr is not None
    assert b"password option is not specified" in await process.stderr.read()
    assert await process.wait() == 1


async def test_ratings_come_from_mongodb(lab: Lab, mongodb: PodContext) -> None:
    lab.services(mongodb=f"{mongodb.pod_ip}:27017")
    answer = await rating(lab, MONGO_DB_URL="mongodb://mongodb:27017/test")
    assert answer == '{"id":3,"ratings":{"Reviewer1":5,"Reviewer2":4}}200'
    assert await rating(lab, MONGO_DB_URL="mongodb://mongodb:27017/empty") == (
        '{"error":"could not load ratings from database"}500'
    )


async def test_ratings_come_from_mysql(lab: Lab, mysqldb: PodContext) -> None:
    lab.services(mysqldb=f"{mysqldb.pod_ip}:3306")
    where = {"DB_TYPE": "mysql", "MYSQL_DB_HOST": "mysqldb", "MYSQL_DB_PORT": "3306", "MYSQL_DB_USER": "root"}
    answer = await rating(lab, **where, MYSQL_DB_PASSWORD="secret")
    assert answer == '{"id":3,"ratings":{"Reviewer1":5,"Reviewer2":4}}200'
    assert await rating(lab, **where, MYSQL_DB_PASSWORD="wrong") == (
        '{"error":"could not connect to ratings database"}500'
    )


async def test_ratings_without_a_database(lab: Lab) -> None:
    assert await rating(lab, MONGO_DB_URL="mongodb://mongodb:27017/test") == (
        '{"error":"could not connect to ratings database"}500'
    )
