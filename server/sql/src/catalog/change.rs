//! The changes of the catalogue, and how they are taken.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use super::{AccessPath, Catalog, Check, ColumnDef, Extension, Object, Reference};
use crate::comment::Commented;
use crate::error::{Result, SqlError};
use crate::role::RoleChange;

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

impl Catalog {
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
}
