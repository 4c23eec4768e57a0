//! Tables and views as SQL knows them: their columns, constraints and the ways to look rows up.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use super::{AddedColumns, DroppedColumn};
use crate::sql_type::SqlType;
use operators::expr::Literal;
use operators::{Datum, TableId, Type};

/// A value for a column that an INSERT leaves out.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum DefaultValue {
    /// A constant.
    Constant(Literal),
    /// The time of the statement.
    Now,
    /// The next of numbers that are given once each, from 1 on.
    Number,
    /// A random uuid.
    Uuid,
}

/// A condition that every row of a table meets; NULL is no failure.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// As it was given.
    pub condition: String,
}

/// A reference from one table to another, which is known and not enforced.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Columns of this table.
    pub columns: Vec<u16>,
    /// The other table.
    pub table: String,
    /// As it was given.
    pub text: String,
}

impl Reference {
    /// The columns of the other table; none stands for its primary key.
    pub(crate) fn referred(&self) -> impl Iterator<Item = &str> {
        // Without a list the text ends with the table's name.
        let list = self.text.strip_suffix(')').and_then(|text| text.rsplit_once('('));
        list.map_or("", |(_, list)| list).split(", ")
    }
}

/// A column as SQL sees it.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ColumnDef {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SqlType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What an INSERT that leaves it out puts there; NULL if there is nothing.
    pub default: Option<DefaultValue>,
}

/// How the names of columns begin that have been dropped: the engine keeps them, and SQL does not see them. No SQL name is
/// like this.
const DROPPED: &str = "\u{1}dropped";

/// Whether this is the name of a column that SQL does not see.
pub(crate) fn is_dropped_name(name: &str) -> bool {
    name.starts_with(DROPPED)
}

impl ColumnDef {
    /// What is left of a column that is dropped: something stands there still in each row, and has no name.
    pub(crate) fn dropped(at: usize, ty: SqlType, nullable: bool) -> ColumnDef {
        let nothing = match ty.engine() {
            _ if nullable => None,
            Type::Bool => Some(Literal::Bool(false)),
            Type::Int => Some(Literal::Int(0)),
            Type::Float => Some(Literal::Float(0.0)),
            Type::Text => Some(Literal::Text(String::new())),
            Type::Bytes => Some(Literal::Bytes(Vec::new())),
            Type::Timestamp => Some(Literal::Timestamp(0)),
            Type::Date => Some(Literal::Date(0)),
            Type::Numeric => Some(Literal::from(Datum::Numeric(0.into()))),
        };
        let default = nothing.map(DefaultValue::Constant);
        ColumnDef { name: format!("{DROPPED}{}", at + 1), ty, nullable, default }
    }

    /// Whether it has been dropped.
    pub fn is_dropped(&self) -> bool {
        is_dropped_name(&self.name)
    }
}

/// A way to find rows: a view of the engine with a lookup key.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AccessPath {
    /// The name of the index; that of the object itself for the first.
    pub name: String,
    /// The engine's `ViewId`.
    pub view: u32,
    /// The key's columns, in the order in which lookups give them; none means that all rows have one key.
    pub key: Vec<u16>,
    /// Whether ranges of its keys are found too, as the engine's view is ordered.
    pub ordered: bool,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum ObjectKind {
    /// Takes writes.
    Table {
        /// The engine's `TableId`.
        table: u32,
        /// The primary key.
        key: Vec<u16>,
    },
    /// Kept up to date.
    MaterializedView,
    /// A query by name; `query` is its text.
    View {
        /// As it was given.
        query: String,
    },
}

/// A table or a view.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Its columns, with those of a table that have been dropped. The rows of the engine have these first and may have more
    /// behind them, by which they are ordered.
    pub columns: Vec<ColumnDef>,
    /// Ways to find its rows, the first one being its own.
    pub paths: Vec<AccessPath>,
    /// Columns that no two rows agree in, if some are known.
    pub unique: Option<Vec<u16>>,
    /// The order of its rows where a query asks for none: column (of the engine's row) and whether descending.
    pub order: Vec<(u16, bool)>,
    /// What is read when there is no row: that of an aggregate over nothing.
    pub empty_row: Option<Vec<Literal>>,
    /// Objects that it is made from.
    pub depends: Vec<String>,
    /// What its rows must meet.
    pub checks: Vec<Check>,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The statement that made it.
    pub sql: String,
}

/// The name of the table of blocks from which numbers are taken. No SQL name is like this.
pub(crate) const BLOCKS: &str = "\u{1}blocks";

impl Object {
    /// A query by name without a query, to be filled in.
    pub(crate) fn new(name: String, columns: Vec<ColumnDef>, sql: &str) -> Object {
        Object {
            name,
            kind: ObjectKind::View { query: String::new() },
            columns,
            paths: Vec::new(),
            unique: None,
            order: Vec::new(),
            empty_row: None,
            depends: Vec::new(),
            checks: Vec::new(),
            references: Vec::new(),
            sql: sql.to_owned(),
        }
    }

    /// Whether SQL does not see it.
    pub fn is_hidden(&self) -> bool {
        self.name.starts_with('\u{1}')
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name && !column.is_dropped())
    }

    /// The columns that SQL sees, each with its place in the rows.
    pub fn shown_columns(&self) -> impl Iterator<Item = (usize, &ColumnDef)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.is_dropped())
    }

    /// The table's number and primary key, if this is a table.
    pub fn table(&self) -> Option<(TableId, &[u16])> {
        match &self.kind {
            ObjectKind::Table { table, key } => Some((TableId(*table), key)),
            _ => None,
        }
    }

    pub(super) fn add_columns(&mut self, added: &AddedColumns) {
        if let ObjectKind::Table { table, .. } = &mut self.kind {
            *table = added.number;
        }
        self.columns.extend_from_slice(&added.columns);
        self.checks.extend_from_slice(&added.checks);
        self.references.extend_from_slice(&added.references);
        self.paths.clone_from(&added.paths);
    }

    pub(super) fn drop_column(&mut self, dropped: &DroppedColumn) {
        self.columns[usize::from(dropped.column)] = dropped.left.clone();
        self.checks.retain(|check| !dropped.checks.contains(check));
        self.references.retain(|reference| !reference.columns.contains(&dropped.column));
        self.paths.retain(|path| !path.key.contains(&dropped.column));
    }

    /// The path that has the object's name. A view that is only a query has none, and must not be asked.
    pub(crate) fn own_path(&self) -> &AccessPath {
        self.paths.first().expect("tables and materialized views have a key")
    }

    /// What messages call it.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            ObjectKind::Table { .. } => "table",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::View { .. } => "view",
        }
    }
}
