//! A database that speaks PostgreSQL's protocol.

use crate::Error;
use crate::answer::{Answer, Connection, Failure, Kind};
use postgres::{Client, NoTls, SimpleQueryMessage};

/// A connection, and what it speaks to.
pub struct Remote {
    client: Client,
    /// Whether views are brought up to date by REFRESH alone.
    refreshes: bool,
}

impl Remote {
    /// Connects; `postgresql` as the engine says that it is PostgreSQL itself, which gets a schema of its own for the
    /// connection.
    pub fn connect(url: &str, engine: &str) -> Result<Remote, Error> {
        let mut client = Client::connect(url, NoTls)?;
        let refreshes = engine == "postgresql";
        if refreshes {
            client.batch_execute(
                "DROP SCHEMA IF EXISTS slt CASCADE; CREATE SCHEMA slt; SET search_path = slt; SET timezone = 'UTC'",
            )?;
        }
        Ok(Remote { client, refreshes })
    }
}

impl Connection for Remote {
    fn run(&mut self, sql: &str) -> Result<Answer, Failure> {
        let has_result = ["select", "with", "values", "explain", "show"]
            .iter()
            .any(|word| sql.trim_start_matches(['(', ' ']).to_lowercase().starts_with(word))
            || sql.to_lowercase().contains("returning");
        let kinds = if has_result {
            let prepared = self.client.prepare(sql).map_err(failure)?;
            let columns = prepared.columns().iter();
            columns.map(|column| Kind::of(column.type_().oid(), column.type_modifier())).collect()
        } else {
            Vec::new()
        };
        let mut answer = Answer { kinds, ..Answer::default() };
        for message in self.client.simple_query(sql).map_err(failure)? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.count = count,
                _ => {}
            }
        }
        Ok(answer)
    }

    fn refresh(&mut self, view: &str) -> Result<(), Failure> {
        if self.refreshes {
            self.client.batch_execute(&format!("REFRESH MATERIALIZED VIEW {view}")).map_err(failure)?;
        }
        Ok(())
    }
}

fn failure(error: postgres::Error) -> Failure {
    match error.as_db_error() {
        Some(error) => {
            Failure { sqlstate: error.code().code().to_owned(), message: error.message().to_owned() }
        }
        // The connection is lost: a class of its own among the states.
        None => Failure { sqlstate: "08006".to_owned(), message: error.to_string() },
    }
}
