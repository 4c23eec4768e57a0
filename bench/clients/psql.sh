#!/bin/bash
# psql: the \d family, COPY in and out, variables, scripts that stop at an error.
set -u
failed=0
run() { psql "$DATABASE_URL" -X -q -v ON_ERROR_STOP=1 "$@" 2>&1; }
# check NAME PATTERN ARGUMENT...: what psql prints has a line that matches.
check() {
    local name=$1 pattern=$2 output
    shift 2
    if output=$(run "$@") && grep -Eq "$pattern" <<<"$output"; then
        echo "ok $name"
    else
        failed=1
        echo "not ok $name: $(tr '\n' '/' <<<"$output" | head -c 600)"
    fi
}
refresh() { [ -z "${REFRESH:-}" ] || run -c "REFRESH MATERIALIZED VIEW ps_count" >/dev/null; }

run -c 'DROP TABLE IF EXISTS ps_vote CASCADE' >/dev/null
check "create table" '' -c "CREATE TABLE ps_vote (story bigint, who text, weight numeric(5,2) DEFAULT 1, PRIMARY KEY (story, who))"
check "create view" '' -c "CREATE MATERIALIZED VIEW ps_count AS SELECT story, count(*) AS n FROM ps_vote GROUP BY story"
check "create plain view" '' -c "CREATE VIEW ps_heavy AS SELECT * FROM ps_vote WHERE weight > 1"
check "select" '^ *1 \| a$' -c "SELECT 1 AS one, 'a' AS letter"
check "\\d" 'ps_vote' -c '\d'
check "\\dt" 'ps_vote.*table' -c '\dt'
check "\\dm" 'ps_count.*materialized view' -c '\dm'
check "\\dv" 'ps_heavy.*view' -c '\dv'
check "\\d table" 'weight *\| numeric\(5,2\)' -c '\d ps_vote'
check "\\d table, its key" 'PRIMARY KEY.*\(story, who\)' -c '\d ps_vote'
check "\\d+ table" 'weight *\| numeric\(5,2\)' -c '\d+ ps_vote'
check "\\d+ view" 'n *\| bigint' -c '\d+ ps_count'
check "\\dt+" 'ps_vote' -c '\dt+'
check "\\di" 'ps_vote_pkey' -c '\di'
check "\\dn" 'public' -c '\dn'
check "\\l" 'Name' -c '\l'
check "\\du" 'Role name|List of roles' -c '\du'
check "\\dT" '' -c '\dT'
check "\\df" '' -c '\df ps_nothing'
check "\\conninfo" 'connected to database' -c '\conninfo'
check "insert" 'INSERT 0 2' -c '\set QUIET off' -c "INSERT INTO ps_vote VALUES (1, 'a', 2.5), (1, 'b', DEFAULT)"
seq 1 2000 | awk '{printf "%d\tc%d\t1\n", $1 % 10, $1}' >/tmp/ps_vote.$$
check "copy from a file" '' -c "\\copy ps_vote FROM /tmp/ps_vote.$$"
awk 'BEGIN { print "story,who"; for (n = 0; n < 500; n++) printf "20,\"d, %d\"\n", n }' >/tmp/ps_vote.$$
check "copy csv with a header" '' -c "\\copy ps_vote (story, who) FROM /tmp/ps_vote.$$ WITH (FORMAT csv, HEADER)"
refresh
check "the view counts them" '^ *500$' -c "SELECT n FROM ps_count WHERE story = 20"
check "a view over all" '^ *2502$' -c "SELECT sum(n) FROM ps_count"
check "copy to a file" '' -c "\\copy ps_vote TO /tmp/ps_vote.$$"
if [ "$(wc -l </tmp/ps_vote.$$)" = 2502 ]; then echo "ok copied rows"; else failed=1; echo "not ok copied rows: $(wc -l </tmp/ps_vote.$$)"; fi
check "copy of a query" '^20,500' -c "COPY (SELECT story, n FROM ps_count WHERE story = 20) TO STDOUT WITH (FORMAT csv)"
rm -f "/tmp/ps_vote.$$"
check "variables" '^ *500$' -v story=20 -f <(echo "SELECT n FROM ps_count WHERE story = :story;")
check "transaction" '^ *0$' -c "BEGIN; INSERT INTO ps_vote VALUES (30, 'x'); ROLLBACK; SELECT count(*) FROM ps_vote WHERE story = 30"
check "one transaction" '^ *1$' -1 -c "INSERT INTO ps_vote VALUES (31, 'x')" -c "SELECT count(*) FROM ps_vote WHERE story = 31"
check "expanded" '^story *\| 20' -x -c "SELECT * FROM ps_count WHERE story = 20"
check "unaligned" '^20\|500' -A -t -c "SELECT * FROM ps_count WHERE story = 20"
check "\\gdesc" 'bigint' -f <(echo 'SELECT * FROM ps_count \gdesc')
check "\\gset" 'found 500' -f <(printf 'SELECT n AS found FROM ps_count WHERE story = 20 \\gset\n\\echo found :found\n')
check "a script" '500' -f <(printf 'SELECT n FROM ps_count WHERE story = 20;\n')
check "show" 'UTF8' -c "SHOW client_encoding"
check "set" 'tester' -c "SET application_name = 'tester'" -c "SHOW application_name"
check "explain" '.' -c "EXPLAIN SELECT * FROM ps_count WHERE story = 1"
if output=$(run -c 'SELECT * FROM ps_missing'); then
    failed=1; echo "not ok error: no error"
elif grep -q 'ERROR:.*ps_missing' <<<"$output"; then
    echo "ok error"
else
    failed=1; echo "not ok error: $output"
fi
if run -c 'SELECT missing FROM ps_vote' | grep -Fq '^'; then echo "ok place of an error"; else failed=1; echo "not ok place of an error: no mark"; fi
check "drop" '' -c 'DROP TABLE ps_vote CASCADE'
exit $failed
