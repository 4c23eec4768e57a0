//! ALTER TABLE ... ALTER COLUMN: what the catalogue says of a column, as far as the rows that are there need not change for it.
//!
//! The engine knows of its columns for good whether they may be NULL and what they hold. NOT NULL of a column that may be NULL
//! there is a rule of the catalogue; and a type can become another that holds all the same values in the same way.

use crate::catalog::{AlteredColumn, Catalog, Change, ColumnDef, Object};
use crate::define::{Definition, default};
use crate::drop_column::readers;
use crate::error::{Result, SqlError};
use crate::names::fold;
use crate::rule::is_shortened;
use crate::sql_type::SqlType;
use operators::TableId;
use sqlparser::ast::{AlterColumnOperation, Ident};

/// Changes a column of a table.
pub(crate) fn alter_column(
    catalog: &Catalog,
    object: &Object,
    name: &Ident,
    operation: &AlterColumnOperation,
    sql: &str,
) -> Result<Definition> {
    let (table, key) = object.table().expect("it was looked at");
    let at = crate::write::column(object, &fold(name)).map_err(|error| error.at(name.span))?;
    let before = &object.columns[at];
    let mut after = before.clone();
    match operation {
        AlterColumnOperation::SetDefault { value } => after.default = default(value, before.ty)?,
        AlterColumnOperation::DropDefault => after.default = None,
        AlterColumnOperation::SetNotNull => after.nullable = false,
        AlterColumnOperation::DropNotNull if key.contains(&(at as u16)) => {
            let message = format!("column {:?} is in a primary key", before.name);
            return Err(SqlError::new("42P16", message).at(name.span));
        }
        AlterColumnOperation::DropNotNull => {
            refuse_never_null(catalog, table, at, before)?;
            after.nullable = true;
        }
        AlterColumnOperation::SetDataType { data_type, using: None, .. } => {
            after.ty = SqlType::from_ast(data_type).map_err(|error| error.at(name.span))?;
            refuse_other_values(catalog, object, table, at, after.ty)?;
        }
        other => {
            return Err(SqlError::unsupported(format!("ALTER COLUMN ... {other}"))
                .hint("Add another column, UPDATE it, and drop this one."));
        }
    }
    if after == *before {
        return Ok(Definition::Nothing(format!("column {:?} is like this already, skipping", before.name)));
    }
    let table = object.name.clone();
    let altered = AlteredColumn { table, column: at as u16, before: before.clone(), after };
    catalog.entry(sql, Change::AlterColumn(Box::new(altered)), catalog.builder())
}

fn refuse_never_null(catalog: &Catalog, table: TableId, at: usize, def: &ColumnDef) -> Result<()> {
    if catalog.plan().tables[table.0 as usize].columns[at].nullable {
        return Ok(());
    }
    Err(SqlError::unsupported(format!("DROP NOT NULL of {:?}, which was made NOT NULL", def.name))
        .detail("What is made from the table relies on it.")
        .hint("Add another column, UPDATE it, and drop this one."))
}

/// Refuses a type unless the values of the column are values of it, and written in the same way. Whether texts are short enough is
/// for a [rule](crate::rule) to say.
fn refuse_other_values(
    catalog: &Catalog,
    object: &Object,
    table: TableId,
    at: usize,
    to: SqlType,
) -> Result<()> {
    use SqlType as T;
    let ColumnDef { name, ty: from, .. } = &object.columns[at];
    let no_less = |few: &Option<u32>, many: &Option<u32>| match (few, many) {
        (_, None) => true,
        (Some(few), Some(many)) => few <= many,
        (None, Some(_)) => false,
    };
    let is_wider = match (from, &to) {
        (T::Varchar(few), T::Varchar(many)) => no_less(few, many),
        (T::Varchar(_), T::Text) | (T::Text, T::Varchar(None)) => true,
        (T::SmallInt, T::Integer | T::BigInt) | (T::Integer, T::BigInt) => true,
        (T::Numeric(Some(_)), T::Numeric(None)) => true,
        (T::Numeric(Some((few, scale))), T::Numeric(Some((many, more)))) => {
            scale <= more && few - scale <= many - more
        }
        (from, to) => *from == *to,
    };
    if !is_wider && !is_shortened(*from, to) {
        return Err(SqlError::unsupported(format!("the type {to} for the column {name:?} of type {from}"))
            .hint("Add another column, UPDATE it, and drop this one."));
    }
    match readers(catalog, object, table, at).as_slice() {
        [] => Ok(()),
        views => Err(SqlError::unsupported(format!(
            "another type of the column {name:?}, which views are made from"
        ))
        .detail(format!("They are: {}.", views.join(", ")))
        .hint("Drop them first.")),
    }
}
