//! The catalogue: tables and views by their SQL names, and the plan of everything.
//!
//! It changes by entries alone. Binding a definition makes an [`Entry`] and changes nothing; [`Catalog::apply`] takes
//! it, at once and at every start, so a catalogue is what its entries make it. An entry does not depend on how a later
//! version would bind the same text: it carries what it adds, to the plan and to the names.
//!
//! Names in the plan are those of SQL. Numbers of the plan are never given again, so what is dropped leaves a gap.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use crate::error::{Result, SqlError};
use crate::numbers::BlockTable;
use crate::role::{RoleChange, Roles};
use crate::sql_type::SqlType;
use operators::expr::Literal;
use operators::order::Order;
use operators::plan::ViewSpec;
pub use operators::plan::{DroppedNode, Extension};
use operators::{Column, Plan, PlanBuilder, Stream, TableId, ViewId};

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

/// A way to find rows: a view of the engine with a lookup key.
#[derive(Debug, Clone, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AccessPath {
    /// The name of the index; that of the object itself for the first.
    pub name: String,
    /// The engine's `ViewId`.
    pub view: u32,
    /// The key's columns, in the order in which lookups give them; none means that all rows have one key.
    pub key: Vec<u16>,
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
    /// Its columns. The rows of the engine have these first and may have more behind them, by which they are ordered.
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
        self.columns.iter().position(|column| column.name == name)
    }

    /// The table's number and primary key, if this is a table.
    pub fn table(&self) -> Option<(TableId, &[u16])> {
        match &self.kind {
            ObjectKind::Table { table, key } => Some((TableId(*table), key)),
            _ => None,
        }
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

/// What a table gets with columns that are added.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AddedColumns {
    /// The table's name.
    pub table: String,
    /// The engine's `TableId` from now on.
    pub number: u32,
    /// The columns, which stand behind those that are there.
    pub columns: Vec<ColumnDef>,
    /// What its rows must meet besides.
    pub checks: Vec<Check>,
    /// What it refers to besides.
    pub references: Vec<Reference>,
    /// All ways to find its rows from now on.
    pub paths: Vec<AccessPath>,
}

/// What an entry does to the names.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Change {
    /// A new table or view.
    Create(Object),
    /// A new table whose rows are counted, and the table of blocks for that.
    CreateCounting(Box<Object>, Box<Object>),
    /// Another way to find the rows of an object.
    CreateIndex {
        /// The object's name.
        on: String,
        /// The index.
        path: AccessPath,
    },
    /// These objects are gone.
    Drop(Vec<String>),
    /// A table has another name.
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// A column of a table has another name.
    RenameColumn {
        /// The table.
        table: String,
        /// The column's place.
        column: u16,
        /// Its new name.
        to: String,
    },
    /// A table has more constraints.
    Constrain {
        /// The table.
        table: String,
        /// What its rows must meet from now on.
        checks: Vec<Check>,
        /// What it refers to.
        references: Vec<Reference>,
        /// Ways to find its rows that a UNIQUE brings.
        paths: Vec<AccessPath>,
    },
    /// A table has more columns.
    AddColumns(Box<AddedColumns>),
    /// This index is gone.
    DropIndex {
        /// Its name.
        name: String,
    },
    /// Who may connect has changed.
    Role(RoleChange),
}

/// One change of the catalogue, to be made durable before it is applied.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Entry {
    /// The statement.
    pub sql: String,
    /// What it does to the names.
    pub change: Change,
    /// What it does to the plan.
    pub extension: Extension,
    /// What the client is warned of.
    pub warnings: Vec<String>,
}

/// All tables, views and roles.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    objects: Vec<Object>,
    plan: Plan,
    roles: Roles,
}

impl Catalog {
    /// An empty catalogue.
    pub fn new() -> Self {
        Self::default()
    }

    /// The plan of everything.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The tables and views in the order of their making.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Who may connect.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The table or view of this name.
    pub fn find(&self, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.name == name)
    }

    /// The table or view of this name, or the error that names it.
    pub fn object(&self, name: &str) -> Result<&Object> {
        self.find(name).ok_or_else(|| {
            let shown = self.objects.iter().filter(|object| !object.is_hidden());
            let there: Vec<&str> = shown.map(|object| object.name.as_str()).collect();
            let error = SqlError::new("42P01", format!("relation {name:?} does not exist"));
            if there.is_empty() {
                error.hint("There are no tables yet; make one with CREATE TABLE.")
            } else {
                error.hint(format!("There are: {}.", there.join(", ")))
            }
        })
    }

    /// Whether a table, a view or an index has this name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.objects
            .iter()
            .any(|object| object.name == name || object.paths.iter().any(|path| path.name == name))
    }

    /// Objects that are made from `name`, directly or not, those made last first.
    pub fn dependents(&self, name: &str) -> Vec<String> {
        let mut found = vec![name.to_owned()];
        // An object only depends on older ones.
        for object in &self.objects {
            if object.depends.iter().any(|on| found.contains(on)) {
                found.push(object.name.clone());
            }
        }
        found.remove(0);
        found.reverse();
        found
    }

    /// Takes an entry. After an error nothing has changed.
    pub fn apply(&mut self, entry: &Entry) -> Result<()> {
        let stale = || {
            SqlError::new("40001", "the catalogue has changed since the statement was bound")
                .hint("Run the statement again.")
        };
        match &entry.change {
            Change::Create(object) if self.is_taken(&object.name) => return Err(stale()),
            Change::CreateCounting(blocks, object)
                if self.is_taken(&object.name) || self.is_taken(&blocks.name) =>
            {
                return Err(stale());
            }
            Change::CreateIndex { on, path } if self.find(on).is_none() || self.is_taken(&path.name) => {
                return Err(stale());
            }
            Change::Rename { from, to } if self.find(from).is_none() || self.is_taken(to) => {
                return Err(stale());
            }
            Change::RenameColumn { table, .. } | Change::Constrain { table, .. }
                if self.find(table).is_none() =>
            {
                return Err(stale());
            }
            Change::AddColumns(added) if self.find(&added.table).is_none() => return Err(stale()),
            Change::Drop(names) if names.iter().any(|name| self.find(name).is_none()) => return Err(stale()),
            Change::Role(change) => {
                // It changes no plan, so there is nothing else that may not fit.
                return if self.roles.apply(change) { Ok(()) } else { Err(stale()) };
            }
            _ => {}
        }
        if entry.extension.extend(&mut self.plan).is_none() {
            return Err(stale());
        }
        match &entry.change {
            Change::Create(object) => self.objects.push(object.clone()),
            Change::CreateCounting(blocks, object) => {
                self.objects.extend([(**blocks).clone(), (**object).clone()]);
            }
            Change::CreateIndex { on, path } => {
                let object = self.objects.iter_mut().find(|object| object.name == *on);
                object.expect("it was looked for").paths.push(path.clone());
            }
            Change::Rename { from, to } => self.rename(from, to),
            Change::RenameColumn { table, column, to } => {
                let object = self.objects.iter_mut().find(|object| object.name == *table);
                object.expect("it was looked for").columns[usize::from(*column)].name.clone_from(to);
            }
            Change::Constrain { table, checks, references, paths } => {
                let object = self.objects.iter_mut().find(|object| object.name == *table);
                let object = object.expect("it was looked for");
                object.checks.extend_from_slice(checks);
                object.references.extend_from_slice(references);
                object.paths.extend_from_slice(paths);
            }
            Change::AddColumns(added) => {
                let object = self.objects.iter_mut().find(|object| object.name == added.table);
                let object = object.expect("it was looked for");
                if let ObjectKind::Table { table, .. } = &mut object.kind {
                    *table = added.number;
                }
                object.columns.extend_from_slice(&added.columns);
                object.checks.extend_from_slice(&added.checks);
                object.references.extend_from_slice(&added.references);
                object.paths.clone_from(&added.paths);
            }
            Change::Drop(names) => self.objects.retain(|object| !names.contains(&object.name)),
            Change::DropIndex { name } => {
                for object in &mut self.objects {
                    let own = object.name.clone();
                    object.paths.retain(|path| path.name != *name || path.name == own);
                }
            }
            Change::Role(_) => unreachable!("it was taken above"),
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        for object in &mut self.objects {
            if object.name == from {
                to.clone_into(&mut object.name);
                object
                    .paths
                    .iter_mut()
                    .filter(|path| path.name == from)
                    .for_each(|path| path.name = to.to_owned());
            }
            object.depends.iter_mut().filter(|on| *on == from).for_each(|on| to.clone_into(on));
            let references = object.references.iter_mut().filter(|reference| reference.table == from);
            references.for_each(|reference| to.clone_into(&mut reference.table));
        }
    }

    /// The table of blocks from which numbers are taken, if there is one.
    pub(crate) fn block_table(&self) -> Option<BlockTable> {
        let object = self.find(BLOCKS)?;
        let (table, _) = object.table()?;
        let path = object.paths.get(1)?;
        Some(BlockTable { table, view: self.view(path).id })
    }

    /// A builder that continues the plan.
    pub(crate) fn builder(&self) -> PlanBuilder {
        PlanBuilder::extend(self.plan.clone())
    }

    /// The rows of an object as a stream for a builder that continues the plan.
    pub(crate) fn stream(&self, object: &Object, builder: &PlanBuilder) -> Result<Stream> {
        Ok(match &object.kind {
            ObjectKind::Table { table, .. } => {
                builder.table_stream(&self.plan.tables[*table as usize].name)?
            }
            _ => builder.view_stream(&self.view(object.own_path()).name)?,
        })
    }

    /// A name that no table and no view of the plan has, made of `name`.
    pub(crate) fn plan_name(&self, name: &str) -> String {
        let taken = |name: &str| {
            self.plan.live_tables().any(|table| table.name == name)
                || self.plan.live_views().any(|view| view.name == name)
        };
        if !taken(name) {
            return name.to_owned();
        }
        (2u32..).map(|number| format!("{name}#{number}")).find(|name| !taken(name)).expect("numbers go on")
    }

    /// The columns of an object's rows in the engine.
    pub(crate) fn engine_columns(&self, object: &Object) -> &[Column] {
        &self.view(object.own_path()).columns
    }

    /// The view of the engine that a path reads.
    pub fn view(&self, path: &AccessPath) -> &ViewSpec {
        &self.plan.views[ViewId(path.view).0 as usize]
    }

    /// The order of an object's rows, by the names that its operator's columns have.
    pub(crate) fn plan_order(&self, object: &Object) -> Vec<Order> {
        let columns = self.engine_columns(object);
        object
            .order
            .iter()
            .map(|(at, descending)| Order {
                column: columns[usize::from(*at)].name.clone(),
                descending: *descending,
            })
            .collect()
    }
}
