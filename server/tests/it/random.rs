//! Random tables, views over views and writes through the wire while shards are killed, compared with SQLite after
//! every batch of writes.

use fastrand::Rng;
use slt::oracle::{Oracle, Table, sorted};
use slt::random::{Index, Relation, index, query, range, table, write};
use slt::{Connection, Failure, Remote};

use crate::killer::Killer;
use crate::server::Server;

/// Cases; the variable `SQL_CASES` asks for more.
const CASES: u64 = 24;
/// Cases on one server: dropped objects leave traces in its plan.
const CASES_PER_SERVER: u64 = 50;
const VIEWS: usize = 6;
const BATCHES: usize = 3;
const WRITES: usize = 8;
const INDEXES: usize = 4;
const RANGES: usize = 8;

#[test]
fn views_agree_with_sqlite_while_shards_die() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, cases) = (number("SQL_SEED").unwrap_or(0), number("SQL_CASES").unwrap_or(CASES));
    let mut killed = 0;
    for start in (first..first + cases).step_by(CASES_PER_SERVER as usize) {
        let server = Server::start(&[]);
        let killer = Killer::start(&server, start);
        for seed in start..(start + CASES_PER_SERVER).min(first + cases) {
            let mut ours = Ours(Remote::connect(&server.url(), "sakia").expect("it takes connections"));
            case(&mut ours, seed);
        }
        killed += killer.killed();
    }
    assert!(killed > 0, "some shards died meanwhile");
}

struct Ours(Remote);

impl Ours {
    fn must(&mut self, sql: &str, seed: u64) -> Table {
        self.0.run(sql).unwrap_or_else(|failure| panic!("seed {seed}: {sql}: {failure}")).rows
    }
}

/// Whether SQLite would have refused it too; what else goes wrong is none of a client's business.
fn taken(outcome: Result<slt::Answer, Failure>, sql: &str, seed: u64) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) if failure.sqlstate.starts_with("23") => false,
        Err(failure) => panic!("seed {seed}: {sql}: {failure}"),
    }
}

fn case(ours: &mut Ours, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let theirs = Oracle::default();
    let mut relations: Vec<Relation> = (0..2).map(|number| table(&mut rng, number)).collect();
    for relation in &relations {
        ours.must(&relation.create(), seed);
        assert!(theirs.take(&relation.create()), "SQLite takes it");
    }
    let tables = relations.clone();
    let mut queries = Vec::new();
    for number in 0..VIEWS {
        let (query, columns) = query(&mut rng, &relations);
        let name = format!("v{number}");
        ours.must(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"), seed);
        relations.push(Relation { name, columns });
        queries.push(query);
    }
    // Others than before are drawn for them, so that a seed which once showed an error does so again.
    let mut others = Rng::with_seed(!seed);
    let indexes: Vec<Index> =
        (0..INDEXES).map(|number| index(&mut others, &format!("i{number}"), &relations)).collect();
    indexes.iter().for_each(|index| drop(ours.must(&index.sql, seed)));
    for _ in 0..BATCHES {
        if !batch(ours, &theirs, &mut rng, &relations, &queries, seed) {
            break;
        }
        for _ in 0..RANGES {
            let sql = range(&mut others, &indexes);
            match ours.0.run(&sql) {
                Ok(found) => assert_eq!(sorted(found.rows), theirs.rows(&sql), "seed {seed}: {sql}"),
                // SQLite divides by zero.
                Err(failure) => assert_eq!(failure.sqlstate, "22012", "seed {seed}: {sql}: {failure}"),
            }
        }
    }
    for table in &tables {
        ours.must(&format!("DROP TABLE {} CASCADE", table.name), seed);
    }
}

/// Some writes, and all views after them. False if the views have become too large to go on.
fn batch(
    ours: &mut Ours,
    theirs: &Oracle,
    rng: &mut Rng,
    relations: &[Relation],
    queries: &[String],
    seed: u64,
) -> bool {
    let (tables, views) = relations.split_at(relations.len() - queries.len());
    let writes: Vec<String> = (0..WRITES).map(|_| write(rng, tables)).collect();
    let wanted: Vec<bool> = writes.iter().map(|sql| theirs.take(sql)).collect();
    if !views.iter().zip(queries).all(|(view, query)| theirs.recompute(&view.name, query)) {
        return false;
    }
    for (sql, wanted) in writes.iter().zip(wanted) {
        let outcome = ours.0.run(sql);
        assert_eq!(taken(outcome, sql, seed), wanted, "seed {seed}: {sql}");
    }
    for (view, query) in views.iter().zip(queries) {
        let sql = format!("SELECT * FROM {}", view.name);
        let found = sorted(ours.must(&sql, seed));
        assert_eq!(found, theirs.rows(&sql), "seed {seed}: {} AS {query}", view.name);
    }
    true
}
