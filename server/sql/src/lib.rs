//! SQL for Sakia: from a statement's text to what a front carries out. Pure: no threads, files, sockets or clocks.
//!
//! ```
//! use operators::expr::Literal;
//! use sql::{Bound, Catalog, Context, Definition, bind, parse};
//!
//! let mut catalog = Catalog::new();
//! for statement in parse(
//!     "CREATE TABLE votes (story bigint, who text, PRIMARY KEY (story, who));
//!      CREATE MATERIALIZED VIEW counts AS SELECT story, count(*) AS votes FROM votes GROUP BY story",
//! )? {
//!     if let Bound::Define(Definition::Entry(entry)) = bind(&catalog, &statement, &[])?.bound {
//!         // Make the entry durable and install catalog.plan() on the shards here.
//!         catalog.apply(&entry)?;
//!     }
//! }
//! let select = &parse("SELECT votes FROM counts WHERE story = $1")?[0];
//! let prepared = bind(&catalog, select, &[])?;
//! let Bound::Lookup(lookup) = &prepared.bound else { unreachable!() };
//! let context = Context { parameters: &[Literal::Int(7)], now: 0 };
//! assert_eq!(lookup.keys(&context)?.count, 1);
//! # Ok::<(), sql::SqlError>(())
//! ```
//!
//! # The way of a statement
//!
//! [`parse`] gives statements; [`bind`] makes a [`Prepared`] of one: what to do ([`Bound`]), the types of its parameters,
//! the columns of its result. It is bound once and run with any parameters, as long as the catalogue does not change.
//! - [`Bound::Define`]: make the entry durable, then [`Catalog::apply`] it. The plan to install is [`Catalog::plan`].
//! - [`Bound::Role`]: [`RoleStatement::definition`](role::RoleStatement::definition) gives such an entry.
//! - [`Bound::Insert`]: [`Write::rows`] are written with [`Write::kind`].
//! - [`Bound::Lookup`]: look up [`Lookup::keys`] in the view, give what was found to [`Lookup::result`]. If it [is a
//!   range](Lookup::is_range), read [`Lookup::range`] and give what [`Lookup::take`] keeps of it.
//! - [`Bound::Change`]: [`Change::start`], then what [`Work::next`] says, until it is done.
//! - [`Bound::Query`]: no key answers it. [`Scan::start`], then [`Run::feed`] with all rows of each of [`Run::sources`], then
//!   [`Run::finish`].
//! - [`Bound::Locking`]: its query is run, and what its rows were made of is locked: see [`locking`].
//! - [`Bound::Prepare`] and [`Bound::Execute`]: bind and keep a statement by a name, and run it with
//!   [`Execution::values`](prepare::Execution::values).
//!
//! # Which key a view is looked up by
//!
//! `WITH (key = 'a, b')` says it. Otherwise it is what no two rows agree in, if the select list has it: the columns of
//! GROUP BY, those of DISTINCT, the primary key of a table (of both sides of a join, unless each row of the left side
//! has one partner at most). A view with LIMIT, and an aggregate without GROUP BY, have one key for all rows: reading
//! all of the view is a lookup. If nothing is known, it is the first column. `CREATE INDEX` on a table or a materialised
//! view adds another key. A table is always looked up by its primary key, which it must have.
//!
//! These keys are found by their hash, as wholes. Those of `CREATE INDEX`, unless it says `USING hash`, and those of a view `WITH
//! (ordered = true)` are ordered besides: equality on all columns but the last is a lookup, and so is a range of the last behind
//! it (`WHERE a = $1 AND b > $2`; of an index of one column, `WHERE b > $2` alone). Its rows come in the order of the last column,
//! up or down, so `ORDER BY b DESC LIMIT 20` reads no more than that. Rows that agree in all columns but the last lie on one
//! shard; those of an index of one column lie on all, which are all asked. DESC and NULLS in the list of an index are taken, and make
//! no difference.
//!
//! # Where this is not PostgreSQL
//!
//! - A write that makes an expression of a view have no value on a row (a division by zero, a result out of range, a cast of a
//!   text that is no number) is taken. Reading the view, and views made from it, gives the error then, until the row is changed or
//!   deleted; SHOW VIEWS says so. Keys of other shards may still be read, if no row of theirs comes from such a row.
//! - Numeric has 28 digits, neither NaN nor infinity, and the scale of a numeric without one is not kept: 2.50 is shown as
//!   2.5. A quotient has as many digits as PostgreSQL gives it. `sqrt`, `ln`, `exp` and `power` are those of doubles.
//! - Times have no zone but UTC. Intervals that are equal but are written otherwise (`1 day`, `24 hours`) compare as equal,
//!   and are two groups.
//! - jsonb has no order but that of its text, and numbers of different scale are not equal there but in `@>`.
//! - Arrays have one dimension. `array_agg` without ORDER BY is in the order of the values. There are no slices and no `||` of
//!   arrays; `unnest` stands in FROM, of arrays that no column is part of.
//! - Regular expressions take time linear in the text: no references back, no looking around, and of alternatives the first
//!   that matches. `\d` and `\w` know letters and digits of all scripts, `[[:alpha:]]` those of ASCII.
//! - Text is ordered by its bytes.
//! - An aggregate without GROUP BY has no row while its input is empty for a view made from it; reading it by itself
//!   gives the row that SQL asks for.
//! - A range that is compared as rows, `(a, b) < ($1, $2)`, is not looked up, nor one of a column before the last of an index. EXPLAIN
//!   of a query that reads all rows for a range names the index that would spare it that.
//! - UNIQUE and FOREIGN KEY are taken and not enforced, with a warning; CHECK is enforced. UNIQUE brings a lookup key.
//! - Numbers of serial and identity columns are unique, and have gaps where a front ends.
//! - EXPLAIN shows how a query is answered, or by the name of a table or view how that is kept, as TEXT or as DOT for Graphviz.
//!   It runs nothing and knows no costs.
//! - Cursors go forward only, and keep the whole result in the front.
//! - FOR SHARE, FOR NO KEY UPDATE and FOR KEY SHARE lock rows as FOR UPDATE does. Sessions of one front wait for each other;
//!   another front's change of a locked row makes COMMIT fail with 40001. Rows of views and subqueries in FROM are not locked. In
//!   UPDATE, DELETE and INSERT a subquery may have such a clause, if it names no columns of the query around it; it is run first.
//! - WITH before UPDATE, DELETE and INSERT puts its queries in the places where they are named. It has no writes itself.
//! - UPDATE, DELETE and ON CONFLICT DO UPDATE lose nothing that others write: see [`change`]. Who changes a row waits for
//!   those of the same front who have changed it; a transaction that meets another front's change, or an INSERT that replaces
//!   whole rows, fails at COMMIT with 40001 and is to be run again.
//! - `row_number()` can be compared with a number by the query around it, and shown only where it is one number.
//! - In a view a subquery as a value has one row at most by its form: an aggregate, a whole key compared with columns of the
//!   query around it, or LIMIT 1. A subquery names columns of the query around it in equalities only. It stands in WHERE, and in
//!   the list and the order of a query without groups.
//! - VALUES, `unnest`, `generate_series` and the tables of pg_catalog and information_schema are read by queries that are run
//!   once, not by views. pg_settings shows what holds for every session, SHOW and `current_setting` what holds for one.
//!   `current_setting` of a name that is no constant is NULL for a setting that it does not know.
//! - A column that ALTER TABLE adds comes with the rows at once: each shard stands still while it goes through its rows of the
//!   table, some millions a second. As long as there are views from before, the rows are kept twice. A
//!   column that is dropped is hidden: its values stay in the rows that are there. No column of the primary key is dropped.
//! - A column that was made NOT NULL stays so, and a type is only changed to one that writes all its values in the same way.
//!   ALTER TABLE looks at the rows for NOT NULL, CHECK and shorter texts before and after it sets the rule, without a lock: what another front
//!   writes in that moment may break it. A CHECK of a column that is added is not asked of the rows that are there.
//! - Refused by name: LATERAL, WITH RECURSIVE, EXCEPT ALL, INTERSECT ALL, functions in FROM but `generate_series` and
//!   `unnest`, window functions but `row_number()`, ordered-set aggregates.
//! - Roles have LOGIN, SUPERUSER and a password ([`role`]); there are neither privileges nor owners, and no roles in roles. GRANT
//!   is taken with a warning, since everybody may do everything already; REVOKE is refused.
//! - CREATE EXTENSION of plpgsql, pgcrypto and uuid-ossp is taken with a warning of what there is of them. LOCK TABLE is taken
//!   with a warning, and locks nothing.
//! - `set_config` stands in the list of a SELECT without FROM.
//! - Names in `public`, `pg_catalog` and `information_schema` only.
#![forbid(unsafe_code)]

// What everything uses.
pub mod binary;
pub mod error;
mod json;
mod names;
pub mod sql_type;
pub mod text;

// What there is.
pub mod catalog;
pub mod role;
mod rule;
mod system;

// Expressions.
mod columns;
mod expression;
mod function;
mod interval;
mod parameters;
mod scope;
mod special;
mod time_function;
mod typed;

// Queries.
mod aggregate;
mod embedded;
mod feed;
mod from;
mod join;
mod planner;
mod query;
mod ranged;
mod rank;
mod select;
mod subquery;
mod table;

// Statements.
mod accepted;
mod add_column;
mod alter;
mod alter_column;
pub mod change;
pub mod comment;
mod constraint;
pub mod copy;
pub mod define;
mod dot;
mod drop_column;
pub mod evaluate;
mod explain;
pub mod in_session;
pub mod locking;
pub mod lookup;
pub mod numbers;
mod options;
pub mod parse;
pub mod prepare;
pub mod scan;
mod session;
mod set_config;
pub mod statement;
mod with;
pub mod work;
pub mod write;

pub use catalog::{Catalog, Entry, Object, ObjectKind};
pub use change::{Change, Verb};
pub use copy::CopyIn;
pub use define::Definition;
pub use error::SqlError;
pub use evaluate::{Context, no_value};
pub use in_session::{KeptCursor, KeptStatement, SessionView};
pub use locking::Locking;
pub use lookup::Lookup;
pub use numbers::{Numbers, Reserve};
pub use parse::{Parsed, parse};
pub use rule::Rule;
pub use scan::{Limits, Read, Run, Scan, Source};
pub use session::{Discarded, Session};
pub use set_config::Setting;
pub use sql_type::SqlType;
pub use statement::{Bound, Declaration, Prepared, ResultColumn, bind};
pub use work::{Effect, RowsToWrite, Step, Work};
pub use write::{Conflict, Write};
