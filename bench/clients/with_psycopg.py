"""psycopg 3: text and binary, prepared statements, pipelines, COPY, transactions, errors."""
import os
import threading
import time

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from checks import CREATE_TYPES, URL, VALUES, check, finish

connection = psycopg.connect(URL, autocommit=True)


def refresh(view):
    """PostgreSQL brings its views up to date on demand."""
    if os.environ.get("REFRESH"):
        connection.execute(f"REFRESH MATERIALIZED VIEW {view}")


@check("connect")
def _():
    assert connection.execute("SELECT 1").fetchone() == (1,)
    assert connection.info.server_version >= 90000
    assert connection.info.parameter_status("client_encoding") == "UTF8"


@check("define")
def _():
    for name in ["pg_types", "pg_vote"]:
        connection.execute(f"DROP TABLE IF EXISTS {name} CASCADE")
    connection.execute(CREATE_TYPES.format("pg_types"))
    connection.execute("CREATE TABLE pg_vote (story bigint, who text, PRIMARY KEY (story, who))")
    connection.execute("CREATE MATERIALIZED VIEW pg_count AS SELECT story, count(*) AS n FROM pg_vote GROUP BY story")


for binary in [False, True]:
    @check(f"types, {'binary' if binary else 'text'}")
    def _():
        key = int(binary)
        values = [value for _, _, value in VALUES]
        cursor = connection.cursor(binary=binary)
        placeholder = "%b" if binary else "%s"
        cursor.execute(f"INSERT INTO pg_types VALUES ({', '.join([placeholder] * (len(values) + 1))})", [key, *values])
        assert cursor.rowcount == 1
        row = cursor.execute("SELECT * FROM pg_types WHERE id = %s", [key]).fetchone()
        assert list(row[1:]) == values, f"{row[1:]} is not {values}"
        names = [column.name for column in cursor.description]
        assert names == ["id"] + [name for name, _, _ in VALUES], names


@check("nulls")
def _():
    connection.execute("INSERT INTO pg_types (id) VALUES (77)")
    row = connection.execute("SELECT * FROM pg_types WHERE id = 77").fetchone()
    assert row[1:] == (None,) * len(VALUES), row
    connection.execute("INSERT INTO pg_types (id, t, i) VALUES (%s, %s, %s)", [78, None, None])
    assert connection.execute("SELECT t FROM pg_types WHERE id = 78").fetchone() == (None,)


@check("json")
def _():
    from psycopg.types.json import Jsonb
    connection.execute("DROP TABLE IF EXISTS pg_json CASCADE")
    connection.execute("CREATE TABLE pg_json (id int PRIMARY KEY, doc jsonb)")
    document = {"a": [1, 2.5, None], "b": {"c": "é"}}
    connection.execute("INSERT INTO pg_json VALUES (1, %s)", [Jsonb(document)])
    assert connection.execute("SELECT doc FROM pg_json WHERE id = 1").fetchone() == (document,)
    assert connection.execute("SELECT doc->'b'->>'c' FROM pg_json WHERE id = 1").fetchone() == ("é",)


@check("a view shows what was just written")
def _():
    for number in range(200):
        connection.execute("INSERT INTO pg_vote VALUES (%s, %s)", [number % 5, f"u{number}"])
        if number % 40 == 39:
            refresh("pg_count")
            found = connection.execute("SELECT n FROM pg_count WHERE story = %s", [number % 5]).fetchone()
            assert found == (number // 5 + 1,), f"{found} after {number}"


@check("prepared")
def _():
    cursor = connection.cursor()
    for number in range(20):
        row = cursor.execute("SELECT n FROM pg_count WHERE story = %s", [number % 5], prepare=True).fetchone()
        assert row == (40,), row


@check("executemany")
def _():
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO pg_vote VALUES (%s, %s)", [(100 + n % 3, f"m{n}") for n in range(300)])
    assert cursor.rowcount == 300, cursor.rowcount
    refresh("pg_count")
    assert connection.execute("SELECT sum(n) FROM pg_count WHERE story >= 100").fetchone()[0] == 300


@check("pipeline")
def _():
    with connection.pipeline():
        cursors = [connection.execute("SELECT n FROM pg_count WHERE story = %s", [n % 5]) for n in range(50)]
        rows = [cursor.fetchone() for cursor in cursors]
    assert rows == [(40,)] * 50, rows


@check("transaction")
def _():
    with connection.transaction():
        connection.execute("INSERT INTO pg_vote VALUES (200, 'a')")
        connection.execute("INSERT INTO pg_vote VALUES (200, 'b')")
    assert connection.execute("SELECT count(*) FROM pg_vote WHERE story = 200").fetchone() == (2,)
    try:
        with connection.transaction():
            connection.execute("INSERT INTO pg_vote VALUES (201, 'a')")
            raise KeyError
    except KeyError:
        pass
    assert connection.execute("SELECT count(*) FROM pg_vote WHERE story = 201").fetchone() == (0,)


@check("savepoint")
def _():
    with connection.transaction():
        connection.execute("INSERT INTO pg_vote VALUES (210, 'a')")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO pg_vote VALUES (210, 'b')")
                raise KeyError
        except KeyError:
            pass
    assert connection.execute("SELECT who FROM pg_vote WHERE story = 210").fetchall() == [("a",)]


@check("errors")
def _():
    cases = [("SELEC 1", psycopg.errors.SyntaxError), ("SELECT * FROM missing", psycopg.errors.UndefinedTable),
             ("SELECT missing FROM pg_vote", psycopg.errors.UndefinedColumn),
             ("INSERT INTO pg_vote VALUES (0, 'u0')", psycopg.errors.UniqueViolation),
             ("INSERT INTO pg_vote VALUES ('x', 'y')", psycopg.errors.InvalidTextRepresentation),
             ("INSERT INTO pg_vote VALUES (1, NULL)", psycopg.errors.NotNullViolation)]
    for statement, kind in cases:
        try:
            connection.execute(statement)
        except kind:
            continue
        except psycopg.Error as other:
            raise AssertionError(f"{statement}: {type(other).__name__}: {other}") from other
        raise AssertionError(f"{statement}: no error")


@check("an error ends the transaction, not the connection")
def _():
    connection.execute("BEGIN")
    try:
        for statement, kind in [("SELECT 1 / 0", psycopg.errors.DivisionByZero),
                                ("SELECT 1", psycopg.errors.InFailedSqlTransaction)]:
            try:
                connection.execute(statement)
                raise AssertionError(f"{statement}: no error")
            except kind:
                pass
    finally:
        connection.execute("ROLLBACK")
    assert connection.execute("SELECT 1").fetchone() == (1,)


@check("copy")
def _():
    with connection.cursor().copy("COPY pg_vote (story, who) FROM STDIN") as copy:
        for number in range(5000):
            copy.write_row((300 + number % 7, f"c{number}"))
    refresh("pg_count")
    assert connection.execute("SELECT sum(n) FROM pg_count WHERE story >= 300").fetchone()[0] == 5000
    with connection.cursor().copy("COPY pg_vote TO STDOUT") as copy:
        rows = list(copy.rows())
    assert len(rows) >= 5000, len(rows)


@check("copy, binary")
def _():
    with connection.cursor().copy("COPY pg_vote (story, who) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["int8", "text"])
        for number in range(100):
            copy.write_row((400, f"c{number}"))
    with connection.cursor().copy("COPY pg_vote TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8", "text"])
        rows = [row for row in copy.rows() if row[0] == 400]
    assert len(rows) == 100, len(rows)


@check("returning")
def _():
    row = connection.execute("INSERT INTO pg_types (id, i, t) VALUES (90, 5, 'x') RETURNING id, i + 1").fetchone()
    assert row == (90, 6), row
    assert connection.execute("DELETE FROM pg_types WHERE id = 90 RETURNING t").fetchall() == [("x",)]


@check("rows as dictionaries, composed names")
def _():
    cursor = connection.cursor(row_factory=dict_row)
    query = sql.SQL("SELECT story, n FROM {} WHERE story = {}").format(sql.Identifier("pg_count"), sql.Literal(1))
    assert cursor.execute(query).fetchall() == [{"story": 1, "n": 40}]


@check("server-side cursor")
def _():
    with connection.transaction():
        with connection.cursor("walk") as cursor:
            cursor.execute("SELECT story FROM pg_vote WHERE story < 5 ORDER BY story, who")
            assert len(cursor.fetchmany(10)) == 10
            assert len(cursor.fetchall()) == 190


@check("cancel")
def _():
    # What runs long differs between servers; that the request is taken without harm must not.
    timer = threading.Timer(0.2, connection.cancel)
    timer.start()
    try:
        connection.execute("SELECT count(*) FROM pg_vote a, pg_vote b WHERE a.who < b.who AND a.story <> b.story")
    except (psycopg.errors.QueryCanceled, psycopg.errors.OutOfMemory):
        pass
    timer.join()
    time.sleep(0.1)
    assert connection.execute("SELECT 1").fetchone() == (1,)


@check("several connections")
def _():
    others = [psycopg.connect(URL, autocommit=True) for _ in range(8)]
    for number, other in enumerate(others):
        other.execute("INSERT INTO pg_vote VALUES (500, %s)", [str(number)])
    for other in others:
        other.close()
    assert connection.execute("SELECT count(*) FROM pg_vote WHERE story = 500").fetchone()[0] == 8


@check("drop")
def _():
    for name in ["pg_types", "pg_vote", "pg_json"]:
        connection.execute(f"DROP TABLE {name} CASCADE")


finish()
