// node-postgres: text protocol, parameters, prepared statements, a pool.
'use strict';
const { Client, Pool } = require('pg');
const url = process.env.DATABASE_URL;
let failed = 0;

async function check(name, work) {
  try {
    await work();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${name}: ${String(error.code || '')} ${String(error.message).replace(/\n/g, ' / ')}`);
  }
}

function equal(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${a} instead of ${b}`);
}

async function main() {
  const client = new Client({ connectionString: url });
  await client.connect();
  const refresh = async (view) => {
    if (process.env.REFRESH) await client.query(`REFRESH MATERIALIZED VIEW ${view}`);
  };
  await check('define', async () => {
    await client.query('DROP TABLE IF EXISTS nd_vote CASCADE');
    await client.query('DROP TABLE IF EXISTS nd_types CASCADE');
    await client.query('CREATE TABLE nd_vote (story bigint, who text, PRIMARY KEY (story, who))');
    await client.query('CREATE MATERIALIZED VIEW nd_count AS SELECT story, count(*) AS n FROM nd_vote GROUP BY story');
    await client.query(`CREATE TABLE nd_types (id int PRIMARY KEY, b boolean, d double precision, n numeric(8,2), t text,
      at timestamptz, doc jsonb, y bytea, u uuid, da date)`);
  });
  await check('types', async () => {
    const at = new Date('2024-02-29T12:30:00.125Z');
    const u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
    await client.query('INSERT INTO nd_types VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
      [1, true, 0.1, '12.50', 'é', at, { a: [1, null] }, Buffer.from([0, 255]), u, '2024-02-29']);
    const { rows } = await client.query('SELECT * FROM nd_types WHERE id = $1', [1]);
    const row = rows[0];
    equal([row.id, row.b, row.d, row.n, row.t, row.at, row.doc, [...row.y], row.u],
      [1, true, 0.1, '12.50', 'é', at, { a: [1, null] }, [0, 255], u]);
    equal(row.da.getDate(), 29);
  });
  await check('nulls', async () => {
    await client.query('INSERT INTO nd_types (id, t) VALUES ($1, $2)', [2, null]);
    const { rows } = await client.query('SELECT b, d, n, t, at, doc, y, u FROM nd_types WHERE id = 2');
    equal(Object.values(rows[0]), Array(8).fill(null));
  });
  await check('a view shows what was just written', async () => {
    for (let n = 0; n < 100; n += 1) {
      await client.query('INSERT INTO nd_vote VALUES ($1, $2)', [n % 4, `u${n}`]);
    }
    await refresh('nd_count');
    const { rows } = await client.query('SELECT n FROM nd_count WHERE story = $1', [2]);
    equal(rows, [{ n: '25' }]);
  });
  await check('prepared', async () => {
    for (let n = 0; n < 20; n += 1) {
      const { rows } = await client.query({ name: 'count', text: 'SELECT n FROM nd_count WHERE story = $1', values: [n % 4] });
      equal(rows[0].n, '25');
    }
  });
  await check('several statements', async () => {
    const results = await client.query('SELECT 1 AS a; SELECT 2 AS b, 3 AS c');
    equal(results.map((result) => result.rows), [[{ a: 1 }], [{ b: 2, c: 3 }]]);
  });
  await check('transaction', async () => {
    await client.query('BEGIN');
    await client.query("INSERT INTO nd_vote VALUES (10, 'a')");
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await client.query("INSERT INTO nd_vote VALUES (11, 'a')");
    await client.query('COMMIT');
    const { rows } = await client.query('SELECT story FROM nd_vote WHERE story >= 10');
    equal(rows, [{ story: '11' }]);
  });
  await check('errors', async () => {
    for (const [text, code] of [['SELECT * FROM missing', '42P01'], ['SELECT 1 / 0', '22012'],
      ["INSERT INTO nd_vote VALUES (11, 'a')", '23505'], ['SELEC', '42601']]) {
      try {
        await client.query(text);
      } catch (error) {
        equal([text, error.code], [text, code]);
        continue;
      }
      throw new Error(`${text}: no error`);
    }
  });
  await check('returning', async () => {
    const { rows, rowCount } = await client.query("INSERT INTO nd_types (id, t) VALUES (3, 'x') RETURNING id, t");
    equal([rows, rowCount], [[{ id: 3, t: 'x' }], 1]);
  });
  await check('pool', async () => {
    const pool = new Pool({ connectionString: url, max: 8 });
    await Promise.all(Array.from({ length: 64 }, (_, n) => pool.query('INSERT INTO nd_vote VALUES (20, $1)', [String(n)])));
    const { rows } = await pool.query('SELECT count(*) AS n FROM nd_vote WHERE story = 20');
    equal(rows, [{ n: '64' }]);
    await pool.end();
  });
  await check('drop', async () => {
    await client.query('DROP TABLE nd_vote CASCADE');
    await client.query('DROP TABLE nd_types');
  });
  await client.end();
}

main().catch((error) => {
  console.log(`not ok run: ${error.message}`);
  failed += 1;
}).finally(() => process.exit(failed ? 1 : 0));
