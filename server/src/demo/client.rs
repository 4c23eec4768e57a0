//! What the demo's threads have in common as clients: connections over the Postgres wire, and values as they come.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

use super::oracle::{Value, ViewRow};
use super::questions::Question;
use crate::error::Error;

/// Microseconds and days between 1970, where the oracle's times begin, and 2000, where PostgreSQL's do.
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;
const EPOCH_DAYS: i64 = 10_957;

/// Opens a connection; it is driven by the event loop that this is called on.
pub async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // How it ends shows in the statements that wait for an answer.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Runs `work` on an event loop of this thread.
pub fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System { what: "no event loop", source })?;
    runtime.block_on(work)
}

/// A view that can be looked up.
pub struct Lookup {
    /// The view's name.
    pub view: &'static str,
    statement: Statement,
    /// Where its rows have the lookup key.
    pub key_column: usize,
}

impl Lookup {
    /// Prepares the lookup of a question's view by its key.
    pub async fn prepare(client: &Client, question: &Question) -> Result<Lookup, Error> {
        let (view, key) = (question.view, question.keys.column());
        let statement = client.prepare(&format!("SELECT * FROM {view} WHERE {key} = $1")).await?;
        let key_column = statement.columns().iter().position(|column| column.name() == key);
        let key_column = key_column.expect("every view shows its key");
        Ok(Lookup { view, statement, key_column })
    }

    /// The rows of one key, in the view's order.
    pub async fn rows(&self, client: &Client, key: &Value) -> Result<Vec<ViewRow>, Error> {
        let rows = client.query(&self.statement, &[key]).await?;
        Ok(rows.iter().map(values).collect())
    }
}

fn values(row: &Row) -> ViewRow {
    (0..row.len()).map(|column| row.get(column)).collect()
}

impl FromSql<'_> for Value {
    fn from_sql(ty: &Type, raw: &[u8]) -> Result<Value, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Value::Int(i64::from(bool::from_sql(ty, raw)?)),
            Type::INT2 => Value::Int(i64::from(i16::from_sql(ty, raw)?)),
            Type::INT4 => Value::Int(i64::from(i32::from_sql(ty, raw)?)),
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::FLOAT8 => Value::Float(f64::from_sql(ty, raw)?.to_bits()),
            Type::DATE => Value::Int(i64::from(i32::from_sql(&Type::INT4, raw)?) + EPOCH_DAYS),
            Type::TIMESTAMP => Value::Int(i64::from_sql(&Type::INT8, raw)? + EPOCH_MICROS),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Value, Box<dyn StdError + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::FLOAT8
                | Type::DATE
                | Type::TIMESTAMP
                | Type::TEXT
        )
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self, ty) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Int(value), &Type::INT4) => out.put_i32(i32::try_from(*value)?),
            (Value::Int(value), &Type::INT8) => out.put_i64(*value),
            (Value::Int(value), &Type::TIMESTAMP) => out.put_i64(value - EPOCH_MICROS),
            (Value::Float(bits), &Type::FLOAT8) => out.put_u64(*bits),
            (Value::Text(text), &Type::TEXT) => out.put_slice(text.as_bytes()),
            (value, ty) => return Err(format!("{value} is no {ty}").into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
