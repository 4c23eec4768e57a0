//! SQLite as the reference of random queries.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Rows of texts, NULL being none.
pub type Table = Vec<Vec<Option<String>>>;

/// A database of SQLite in memory.
pub struct Oracle(Connection);

/// Views larger than this would make joins of them with themselves take long.
const ROWS_MAX: i64 = 100;

impl Default for Oracle {
    fn default() -> Self {
        let connection = Connection::open_in_memory().expect("memory is there");
        connection.execute_batch("PRAGMA case_sensitive_like = ON").expect("SQLite knows it");
        Oracle(connection)
    }
}

impl Oracle {
    /// Runs a statement; false if it was refused.
    pub fn take(&self, sql: &str) -> bool {
        self.0.execute_batch(sql).is_ok()
    }

    /// Computes a view anew, as a table: flattened into one another, SQLite's views sometimes give rows that no query
    /// has. False if it has become too large.
    ///
    /// # Panics
    /// When SQLite refuses the query.
    pub fn recompute(&self, view: &str, query: &str) -> bool {
        let sql = format!("DROP TABLE IF EXISTS {view}; CREATE TABLE {view} AS {query}");
        self.0.execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let count = self.0.query_row(&format!("SELECT count(*) FROM {view}"), [], |row| row.get::<_, i64>(0));
        count.expect("a table has a count") <= ROWS_MAX
    }

    /// The rows of a query, sorted.
    ///
    /// # Panics
    /// When SQLite refuses the query.
    pub fn rows(&self, sql: &str) -> Table {
        let mut statement = self.0.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..width)
                .map(|at| {
                    Ok(match row.get_ref(at)? {
                        ValueRef::Null => None,
                        ValueRef::Integer(value) => Some(value.to_string()),
                        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                        other => panic!("{sql}: {other:?} is neither integer nor text"),
                    })
                })
                .collect()
        });
        let rows = rows.expect("the statement is sound").collect::<Result<Table, _>>();
        sorted(rows.expect("the statement is sound"))
    }
}

/// The rows in one order, whatever order they came in.
pub fn sorted(mut table: Table) -> Table {
    table.sort();
    table
}
