//! The catalogue: tables and views by their SQL names, and the plan of everything.
//!
//! It changes by entries alone. Binding a definition makes an [`Entry`] and changes nothing; [`Catalog::apply`] takes
//! it, at once and at every start, so a catalogue is what its entries make it. An entry does not depend on how a later
//! version would bind the same text: it carries what it adds, to the plan and to the names.
//!
//! Names in the plan are those of SQL. Numbers of the plan are never given again, so what is dropped leaves a gap.

mod change;
mod object;

pub use change::*;
pub use object::*;

use crate::comment::Comments;
use crate::error::{Result, SqlError};
use crate::numbers::BlockTable;
use crate::role::Roles;
use operators::order::Order;
use operators::plan::ViewSpec;
pub use operators::plan::{DroppedNode, Extension};
use operators::{Column, Plan, PlanBuilder, Stream, ViewId};

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
