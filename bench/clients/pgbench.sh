#!/bin/bash
# pgbench with scripts of our own, in each of its modes.
set -u
failed=0
seconds=${PGBENCH_SECONDS:-5}
here=$(cd "$(dirname "$0")" && pwd)
psql "$DATABASE_URL" -X -q -c 'DROP TABLE IF EXISTS pb_account CASCADE' >/dev/null 2>&1
if psql "$DATABASE_URL" -X -q -v ON_ERROR_STOP=1 >/dev/null 2>&1 <<'SQL'
CREATE TABLE pb_account (id bigint PRIMARY KEY, branch int NOT NULL, balance bigint NOT NULL);
CREATE TABLE pb_entry (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), account bigint, amount bigint);
CREATE MATERIALIZED VIEW pb_branch AS SELECT branch, count(*) AS n, sum(balance) AS total FROM pb_account GROUP BY branch;
INSERT INTO pb_account SELECT g, g % 10, 100 FROM generate_series(1, 1000) AS g;
SQL
then echo "ok define"; else failed=1; echo "not ok define: tables or rows"; fi
for mode in simple extended prepared; do
    for script in lookup update insert; do
        output=$(pgbench -n -M "$mode" -f "$here/pgbench_$script.sql" -c 4 -T "$seconds" "$DATABASE_URL" 2>&1)
        if [ $? = 0 ] && grep -q 'number of failed transactions: 0 ' <<<"$output"; then
            echo "ok $mode $script: $(grep -o 'tps = [0-9.]*' <<<"$output")"
        else
            failed=1
            echo "not ok $mode $script: $(grep -v '^pgbench (' <<<"$output" | tr '\n' '/' | head -c 500)"
        fi
    done
done
output=$(pgbench -n -M prepared -f "$here/pgbench_pipeline.sql" -c 2 -T "$seconds" "$DATABASE_URL" 2>&1)
if [ $? = 0 ]; then echo "ok pipeline: $(grep -o 'tps = [0-9.]*' <<<"$output")"; else failed=1; echo "not ok pipeline: $(tr '\n' '/' <<<"$output" | head -c 500)"; fi
psql "$DATABASE_URL" -X -q -c 'DROP TABLE pb_account CASCADE' -c 'DROP TABLE pb_entry' >/dev/null 2>&1
exit $failed
