//! The catalogue: tables and views by their SQL names, and the plan of everything.
//!
//! It changes by entries alone. Binding a definition makes an [`Entry`] and changes nothing; [`Catalog::apply`] takes
//! it, at once and at every start, so a catalogue is what its entries make it. An entry does not depend on how a later
//! version would bind the same text: it carries what it adds, to the plan and to the names.
//!
//! Names in the plan are those of SQL. Numbers of the plan are never given again, so what is dropped leaves a gap.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use crate::comment::{Commented, Comments};
use crate::error::{Result, SqlError};
use crate::numbers::BlockTable;
use crate::role::{RoleChange, Roles};
use crate::sql_type::SqlType;
use operators::expr::Literal;
use operators::order::Order;
use operators::plan::ViewSpec;
pub use operators::plan::{DroppedNode, Extension};
use operators::{Column, Datum, Plan, PlanBuilder, Stream, TableId, Type, ViewId};

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

    fn add_columns(&mut self, added: &AddedColumns) {
        if let ObjectKind::Table { table, .. } = &mut self.kind {
            *table = added.number;
        }
        self.columns.extend_from_slice(&added.columns);
        self.checks.extend_from_slice(&added.checks);
        self.references.extend_from_slice(&added.references);
        self.paths.clone_from(&added.paths);
    }

    fn drop_column(&mut self, dropped: &DroppedColumn) {
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

/// What goes with a column that is dropped.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct DroppedColumn {
    /// The table's name.
    pub table: String,
    /// The column's place.
    pub column: u16,
    /// Its name.
    pub name: String,
    /// What is left of it.
    pub left: ColumnDef,
    /// What the rows need not meet any more.
    pub checks: Vec<Check>,
    /// What does not refer to the table any more.
    pub references: Vec<Reference>,
    /// What was made from the table.
    pub dependents: Vec<String>,
    /// Those of them that are gone.
    pub gone: Vec<String>,
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AlteredColumn {
    /// The table's name.
    pub table: String,
    /// The column's place.
    pub column: u16,
    /// As it was.
    pub before: ColumnDef,
    /// As it is from now on; the engine's column is the same.
    pub after: ColumnDef,
}

/// What an entry does to the names.
#[derive(Debug, Clone, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(serialize_bounds(
    __S: rkyv::ser::Writer + rkyv::ser::Allocator,
    __S::Error: rkyv::rancor::Source,
))]
#[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext)))]
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
    /// A column of a table is gone, with the ways to find rows and the references that it was part of.
    DropColumn(Box<DroppedColumn>),
    /// Something else is said of a column.
    AlterColumn(Box<AlteredColumn>),
    /// A constraint of a table is gone, with the way to find rows that it brought.
    DropConstraint {
        /// The table.
        table: String,
        /// The constraint's name.
        name: String,
    },
    /// Several of these, in turn.
    Several(#[rkyv(omit_bounds)] Vec<Change>),
    /// A comment is another, or is gone.
    Comment {
        /// What it is on.
        on: Commented,
        /// What it says; none if it is gone.
        text: Option<String>,
    },
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
    comments: Comments,
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

    /// What tables, views and columns are said to be.
    pub fn comments(&self) -> &Comments {
        &self.comments
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
            // It changes no plan, so there is nothing else that may not fit.
            Change::Role(change) => return self.roles.apply(change).then_some(()).ok_or_else(stale),
            Change::Several(_) => {
                let before = self.objects.clone();
                if !self.change(&entry.change) || entry.extension.extend(&mut self.plan).is_none() {
                    self.objects = before;
                    return Err(stale());
                }
            }
            change => {
                if self.is_stale(change) || entry.extension.extend(&mut self.plan).is_none() {
                    return Err(stale());
                }
                assert!(self.change(change), "it is not stale");
            }
        }
        Ok(())
    }

    /// Whether a change was made for what there is not.
    fn is_stale(&self, change: &Change) -> bool {
        let is_missing = |name: &String| self.find(name).is_none();
        match change {
            Change::Create(object) => self.is_taken(&object.name),
            Change::CreateCounting(blocks, object) => {
                self.is_taken(&object.name) || self.is_taken(&blocks.name)
            }
            Change::CreateIndex { on, path } => is_missing(on) || self.is_taken(&path.name),
            Change::Rename { from, to } => is_missing(from) || self.is_taken(to),
            Change::RenameColumn { table, .. }
            | Change::Constrain { table, .. }
            | Change::DropConstraint { table, .. } => is_missing(table),
            Change::AlterColumn(altered) => {
                let columns = self.find(&altered.table).map(|object| object.columns.as_slice());
                columns.and_then(|columns| columns.get(usize::from(altered.column))) != Some(&altered.before)
            }
            Change::AddColumns(added) => is_missing(&added.table),
            Change::Drop(names) => names.iter().any(is_missing),
            Change::DropColumn(dropped) => {
                let column = self.find(&dropped.table).map(|o| o.columns.get(usize::from(dropped.column)));
                column.flatten().is_none_or(|column| column.name != dropped.name)
                    || self.dependents(&dropped.table) != dropped.dependents
            }
            Change::Comment { on, .. } => !self.has(on),
            Change::DropIndex { .. } | Change::Role(_) | Change::Several(_) => false,
        }
    }

    /// Takes a change of the names; false if it was made for others, and then it may be half done.
    fn change(&mut self, change: &Change) -> bool {
        if self.is_stale(change) {
            return false;
        }
        match change {
            Change::Create(object) => self.objects.push(object.clone()),
            Change::CreateCounting(blocks, object) => {
                self.objects.extend([(**blocks).clone(), (**object).clone()]);
            }
            Change::CreateIndex { on, path } => self.known(on).paths.push(path.clone()),
            Change::Rename { from, to } => self.rename(from, to),
            Change::RenameColumn { table, column, to } => {
                self.known(table).columns[usize::from(*column)].name.clone_from(to);
            }
            Change::Constrain { table, checks, references, paths } => {
                let object = self.known(table);
                object.checks.extend_from_slice(checks);
                object.references.extend_from_slice(references);
                object.paths.extend_from_slice(paths);
            }
            Change::AddColumns(added) => self.known(&added.table).add_columns(added),
            Change::Drop(names) => {
                self.objects.retain(|object| !names.contains(&object.name));
                self.comments.drop_of(names);
            }
            Change::DropIndex { name } => {
                for object in &mut self.objects {
                    let own = object.name.clone();
                    object.paths.retain(|path| path.name != *name || path.name == own);
                }
            }
            Change::Role(_) => unreachable!("it was taken by itself"),
            Change::DropColumn(dropped) => {
                self.known(&dropped.table).drop_column(dropped);
                let column = Commented { object: dropped.table.clone(), column: Some(dropped.column) };
                self.comments.set(&column, None);
                self.comments.drop_of(&dropped.gone);
                self.objects.retain(|object| !dropped.gone.contains(&object.name));
                for object in &mut self.objects {
                    object.references.retain(|reference| !dropped.references.contains(reference));
                }
            }
            Change::AlterColumn(altered) => {
                self.known(&altered.table).columns[usize::from(altered.column)] = altered.after.clone();
            }
            Change::DropConstraint { table, name } => {
                let object = self.known(table);
                object.checks.retain(|check| check.name != *name);
                object.references.retain(|reference| reference.name != *name);
                object.paths.retain(|path| path.name != *name || path.name == *table);
            }
            Change::Several(changes) => return changes.iter().all(|change| self.change(change)),
            Change::Comment { on, text } => self.comments.set(on, text.as_deref()),
        }
        true
    }

    fn known(&mut self, name: &str) -> &mut Object {
        let object = self.objects.iter_mut().find(|object| object.name == name);
        object.expect("it was looked for")
    }

    fn has(&self, on: &Commented) -> bool {
        let fits = |object: &Object| on.column.is_none_or(|at| usize::from(at) < object.columns.len());
        self.find(&on.object).is_some_and(fits)
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.comments.rename(from, to);
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
