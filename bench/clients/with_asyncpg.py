"""asyncpg: everything prepared and binary, a pool, COPY of records, transactions."""
import asyncio
import json
import os

import asyncpg

from checks import CREATE_TYPES, URL, VALUES, check, finish

loop = asyncio.new_event_loop()


def run(future):
    return loop.run_until_complete(asyncio.wait_for(future, 60))


connection = run(asyncpg.connect(URL))


def refresh(view):
    if os.environ.get("REFRESH"):
        run(connection.execute(f"REFRESH MATERIALIZED VIEW {view}"))


@check("define")
def _():
    for name in ["as_types", "as_vote"]:
        run(connection.execute(f"DROP TABLE IF EXISTS {name} CASCADE"))
    run(connection.execute(CREATE_TYPES.format("as_types")))
    run(connection.execute("CREATE TABLE as_vote (story bigint, who text, PRIMARY KEY (story, who))"))
    run(connection.execute(
        "CREATE MATERIALIZED VIEW as_count AS SELECT story, count(*) AS n FROM as_vote GROUP BY story"))


@check("types")
def _():
    values = [value for _, _, value in VALUES]
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 2))
    assert run(connection.execute(f"INSERT INTO as_types VALUES ({marks})", 1, *values)) == "INSERT 0 1"
    row = run(connection.fetchrow("SELECT * FROM as_types WHERE id = $1", 1))
    assert list(row.values())[1:] == values, row
    run(connection.execute(f"INSERT INTO as_types VALUES ({marks})", 2, *([None] * len(values))))
    row = run(connection.fetchrow("SELECT * FROM as_types WHERE id = $1", 2))
    assert list(row.values())[1:] == [None] * len(values), row


for name, _, value in VALUES:
    @check(f"look for {name}")
    def _(name=name, value=value):
        found = run(connection.fetchval(f"SELECT count(*) FROM as_types WHERE {name} = $1", value))
        assert found == 1, found


@check("json")
def _():
    run(connection.execute("DROP TABLE IF EXISTS as_json CASCADE"))
    run(connection.execute("CREATE TABLE as_json (id int PRIMARY KEY, doc jsonb)"))
    run(connection.execute("INSERT INTO as_json VALUES ($1, $2)", 1, json.dumps({"a": [1, None]})))
    assert json.loads(run(connection.fetchval("SELECT doc FROM as_json WHERE id = $1", 1))) == {"a": [1, None]}


@check("a view shows what was just written")
def _():
    for number in range(100):
        run(connection.execute("INSERT INTO as_vote VALUES ($1, $2)", number % 4, f"u{number}"))
    refresh("as_count")
    assert run(connection.fetchval("SELECT n FROM as_count WHERE story = $1", 3)) == 25


@check("prepared")
def _():
    statement = run(connection.prepare("SELECT n FROM as_count WHERE story = $1"))
    assert [parameter.name for parameter in statement.get_parameters()] == ["int8"]
    assert [column.type.name for column in statement.get_attributes()] == ["int8"]
    for number in range(20):
        assert run(statement.fetchval(number % 4)) == 25


@check("executemany")
def _():
    run(connection.executemany("INSERT INTO as_vote VALUES ($1, $2)", [(10, f"m{n}") for n in range(500)]))
    refresh("as_count")
    assert run(connection.fetchval("SELECT n FROM as_count WHERE story = 10")) == 500


@check("copy of records")
def _():
    records = [(20 + n % 3, f"c{n}") for n in range(3000)]
    assert run(connection.copy_records_to_table("as_vote", records=records)) == "COPY 3000"
    refresh("as_count")
    assert run(connection.fetchval("SELECT n FROM as_count WHERE story = 21")) == 1000


@check("transaction")
def _():
    async def work():
        async with connection.transaction():
            await connection.execute("INSERT INTO as_vote VALUES (30, 'a')")
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO as_vote VALUES (31, 'a')")
                raise KeyError
        except KeyError:
            pass
        assert await connection.fetchval("SELECT count(*) FROM as_vote WHERE story = 30") == 1
        assert await connection.fetchval("SELECT count(*) FROM as_vote WHERE story = 31") == 0
    run(work())


@check("cursor")
def _():
    async def work():
        async with connection.transaction():
            total = 0
            async for _ in connection.cursor("SELECT who FROM as_vote WHERE story = 10", prefetch=50):
                total += 1
            assert total == 500, total
    run(work())


@check("errors")
def _():
    for statement, kind in [("SELECT * FROM missing", asyncpg.UndefinedTableError),
                            ("SELECT 1 / 0", asyncpg.DivisionByZeroError),
                            ("INSERT INTO as_vote VALUES (30, 'a')", asyncpg.UniqueViolationError)]:
        try:
            run(connection.execute(statement))
        except kind:
            continue
        raise AssertionError(f"{statement}: no error")


@check("pool")
def _():
    async def work():
        async with asyncpg.create_pool(URL, min_size=4, max_size=8) as pool:
            async def one(number):
                await pool.execute("INSERT INTO as_vote VALUES (40, $1)", str(number))
            await asyncio.gather(*(one(number) for number in range(64)))
            return await pool.fetchval("SELECT count(*) FROM as_vote WHERE story = 40")
    assert run(work()) == 64


@check("drop")
def _():
    for name in ["as_types", "as_vote", "as_json"]:
        run(connection.execute(f"DROP TABLE {name} CASCADE"))
    run(connection.close())


finish()
