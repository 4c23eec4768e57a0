//! Rows for a table as COPY gives them: values as text or in binary form, one for each column that is named.
//!
//! A row goes straight into its builder: numbers, times and texts are read where they lie, and nothing is allocated for
//! them. That makes a row of thirteen columns about a microsecond.

use crate::binary;
use crate::catalog::{Catalog, ColumnDef, DefaultValue};
use crate::constraint::Checks;
use crate::define::default_value;
use crate::error::{Result, SqlError};
use crate::evaluate::Context;
use crate::parameters::Parameters;
use crate::sql_type::SqlType;
use crate::text;
use crate::write::{checked, column, null, table_of};
use operators::{RowBuilder, Rows, TableId};

/// The rows of one COPY.
#[derive(Debug)]
pub struct CopyIn {
    /// The table.
    pub table: TableId,
    name: String,
    columns: Vec<ColumnDef>,
    /// For each column, which of the values of a row it takes; none for its default.
    sources: Vec<Option<usize>>,
    /// Of the columns that are given, in their order.
    types: Vec<SqlType>,
    names: Vec<String>,
    checks: Checks,
    now: i64,
    builder: RowBuilder,
}

impl CopyIn {
    /// For these columns of a table; all of them if none are named. `now` is what the default `now()` gives.
    ///
    /// # Errors
    ///
    /// There is no such table or column, or a column that is not named has no default that is the same for all rows.
    pub fn new(catalog: &Catalog, table: &str, columns: &[String], now: i64) -> Result<CopyIn> {
        let (object, id, _) = table_of(catalog, table, "copy to")?;
        let targets = if columns.is_empty() {
            object.shown_columns().map(|(at, _)| at).collect()
        } else {
            columns.iter().map(|name| column(object, name)).collect::<Result<Vec<usize>>>()?
        };
        let twice = (1..columns.len()).find(|at| targets[..*at].contains(&targets[*at]));
        if let Some(at) = twice {
            let message = format!("column {:?} specified more than once", columns[at]);
            return Err(SqlError::new("42701", message));
        }
        let all = 0..object.columns.len();
        let sources: Vec<Option<usize>> =
            all.map(|at| targets.iter().position(|target| *target == at)).collect();
        for (column, source) in object.columns.iter().zip(&sources) {
            let by_itself = matches!(column.default, Some(DefaultValue::Number | DefaultValue::Uuid));
            if by_itself && source.is_none() {
                return Err(SqlError::unsupported(format!(
                    "COPY without the column {:?}, which counts by itself",
                    column.name
                ))
                .hint("Give its values, or use INSERT."));
            }
        }
        Ok(CopyIn {
            table: id,
            name: object.name.clone(),
            columns: object.columns.clone(),
            sources,
            types: targets.iter().map(|at| object.columns[*at].ty).collect(),
            names: targets.iter().map(|at| object.columns[*at].name.clone()).collect(),
            checks: Checks::new(catalog, object, &Parameters::new(&[]))?,
            now,
            builder: RowBuilder::new(),
        })
    }

    /// The types of the columns that are given.
    pub fn types(&self) -> &[SqlType] {
        &self.types
    }

    /// The names of the columns that are given.
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// Appends a row of values as text; none is NULL.
    ///
    /// # Errors
    ///
    /// A value is none of its column, or the table does not take the row.
    pub fn push(&mut self, texts: &[Option<&str>], rows: &mut Rows) -> Result<()> {
        self.push_row(texts, rows, |column, text, builder| {
            match text::parse_in_place(column.ty, text)? {
                Some(value) => builder.push(value),
                None => builder.push(text::parse(column.ty, text)?.datum()),
            }
            Ok(())
        })
    }

    /// Appends a row of values in binary form; none is NULL.
    ///
    /// # Errors
    ///
    /// As [`CopyIn::push`].
    pub fn push_binary(&mut self, values: &[Option<&[u8]>], rows: &mut Rows) -> Result<()> {
        self.push_row(values, rows, |column, bytes, builder| {
            builder.push(text::fit(column.ty, binary::decode(bytes, column.ty)?)?.datum());
            Ok(())
        })
    }

    fn push_row<T: Copy>(
        &mut self,
        given: &[Option<T>],
        rows: &mut Rows,
        push: impl Fn(&ColumnDef, T, &mut RowBuilder) -> Result<()>,
    ) -> Result<()> {
        let CopyIn { name, columns, sources, names, builder, now, .. } = self;
        if let Some(missing) = names.get(given.len()) {
            return Err(SqlError::new("22P04", format!("missing data for column {missing:?}")));
        }
        if given.len() > names.len() {
            return Err(SqlError::new("22P04", "extra data after last expected column"));
        }
        builder.start(columns.len());
        for (column, source) in columns.iter().zip(sources) {
            match source.map(|at| given[at]) {
                Some(Some(value)) => push(column, value, builder).map_err(|error| {
                    let detail = format!("Column {:?} of {name:?}.", column.name);
                    error.detail(detail)
                })?,
                Some(None) if column.nullable => builder.push_null(),
                Some(None) => return Err(null(name, &column.name)),
                None => builder.push(checked(name, column, default_value(column, *now))?.datum()),
            }
        }
        let row = builder.finish();
        self.checks.check(row, &Context { parameters: &[], now: *now })?;
        rows.push(row);
        Ok(())
    }
}
