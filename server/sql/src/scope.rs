//! The columns that an expression can name.

use crate::catalog::is_dropped_name;
use crate::error::{Result, SqlError};
use crate::names::fold;
use crate::sql_type::SqlType;
use crate::typed::Typed;
use operators::expr::col_at;
use sqlparser::ast::Ident;

/// A column that can be named.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// The table's name or alias.
    pub(crate) table: Option<String>,
    pub(crate) name: String,
    pub(crate) ty: SqlType,
    /// Where it is in the rows.
    pub(crate) at: usize,
    /// The second of two columns that USING made one: only found with its table's name.
    pub(crate) merged: bool,
    /// It stands for the number of a row, which has no value.
    pub(crate) rank: bool,
}

/// The name of a column in a trial: whatever reads it fails, also a `*` and what is like it.
pub(crate) const LEAVING: &str = "\u{1}leaving";

impl ScopeColumn {
    /// Whether it is a column that has been dropped, which only writes of whole rows name.
    pub(crate) fn is_dropped(&self) -> bool {
        is_dropped_name(&self.name)
    }
}

/// All columns that can be named, in the order of `*`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<ScopeColumn>,
}

impl Scope {
    /// The column that `[table.]name` means.
    pub(crate) fn find(&self, table: Option<&Ident>, name: &Ident) -> Result<&ScopeColumn> {
        let (table_name, column_name) = (table.map(fold), fold(name));
        let mut found = self.columns.iter().filter(|column| {
            column.name == column_name
                && match &table_name {
                    Some(_) => column.table == table_name,
                    None => !column.merged,
                }
        });
        let first =
            found.next().ok_or_else(|| self.unknown(table_name.as_deref(), &column_name).at(name.span))?;
        if found.next().is_some() {
            return Err(SqlError::new("42702", format!("column reference {column_name:?} is ambiguous"))
                .hint("Write the table's name before it.")
                .at(name.span));
        }
        Ok(first)
    }

    pub(crate) fn column(&self, table: Option<&Ident>, name: &Ident) -> Result<Typed> {
        let column = self.find(table, name)?;
        if column.rank {
            return Err(crate::rank::unsupported(&column.name).at(name.span));
        }
        Ok(Typed::new(col_at(column.at as u32), column.ty))
    }

    /// What `*` stands for must have values.
    pub(crate) fn refuse_ranks(&self) -> Result<()> {
        match self.columns.iter().find(|column| column.rank) {
            Some(column) => Err(crate::rank::unsupported(&column.name)),
            None => Ok(()),
        }
    }

    /// Fails if one of these columns, or one of those of a table, is [`LEAVING`].
    pub(crate) fn refuse_leaving(&self, table: Option<&str>) -> Result<()> {
        let is_meant = |column: &&ScopeColumn| table.is_none() || column.table.as_deref() == table;
        match self.columns.iter().filter(is_meant).find(|column| column.name == LEAVING) {
            Some(_) => Err(SqlError::new("2BP01", "it reads the column")),
            None => Ok(()),
        }
    }

    fn unknown(&self, table: Option<&str>, name: &str) -> SqlError {
        let is_table =
            |column: &&ScopeColumn| table.is_none_or(|table| column.table.as_deref() == Some(table));
        let shown = self.columns.iter().filter(|column| is_table(column) && !column.is_dropped());
        let there: Vec<&str> = shown.map(|column| column.name.as_str()).collect();
        match table {
            Some(table) if there.is_empty() => {
                SqlError::new("42P01", format!("missing FROM-clause entry for table {table:?}"))
            }
            _ if there.is_empty() => SqlError::new("42703", format!("column {name:?} does not exist")),
            _ => SqlError::new("42703", format!("column {name:?} does not exist"))
                .hint(format!("There are: {}.", there.join(", "))),
        }
    }
}
