//! Constraints beside the primary key. CHECK is enforced where rows are written. UNIQUE brings a lookup key and FOREIGN KEY
//! is remembered; neither is enforced, since the rows that they are about lie on other shards, and the client is warned.

use crate::catalog::{AccessPath, Catalog, Change, Check, ColumnDef, Object, Reference};
use crate::change::parse_expr;
use crate::define::{Definition, index_columns, named_column};
use crate::error::{Result, SqlError};
use crate::evaluate::{Cell, Context};
use crate::expression::Binder;
use crate::lookup::object_scope;
use crate::names::{fold, object_name};
use crate::parameters::Parameters;
use operators::expr::Literal;
use operators::{PlanBuilder, Row, Stream};
use sqlparser::ast::{ColumnOption, ForeignKeyConstraint, Ident, TableConstraint};

/// What the constraints of a table come to.
#[derive(Debug)]
pub(crate) struct Constraints {
    table: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) references: Vec<Reference>,
    /// Names of constraints that the table has already.
    taken: Vec<String>,
    /// Name and columns.
    unique: Vec<(String, Vec<u16>)>,
    pub(crate) warnings: Vec<String>,
}

/// A warning.
pub(crate) fn not_enforced(what: &str) -> String {
    format!("{what} is not enforced")
}

impl Constraints {
    pub(crate) fn new(table: &str) -> Self {
        Constraints {
            table: table.to_owned(),
            checks: Vec::new(),
            references: Vec::new(),
            taken: Vec::new(),
            unique: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// More of a table that may have some.
    pub(crate) fn more(object: &Object) -> Self {
        let checks = object.checks.iter().map(|check| check.name.clone());
        let references = object.references.iter().map(|reference| reference.name.clone());
        Constraints { taken: checks.chain(references).collect(), ..Constraints::new(&object.name) }
    }

    /// The name of a constraint that is not UNIQUE: the given one, or one like `usual`.
    fn free_name(&mut self, given: Option<&Ident>, usual: &str) -> Result<String> {
        let name = match given.map(fold) {
            Some(name) if self.taken.contains(&name) => {
                let message = format!("constraint {name:?} for relation {:?} already exists", self.table);
                return Err(SqlError::new("42710", message));
            }
            Some(name) => name,
            None => {
                let numbered = (1u32..).map(|number| format!("{usual}{number}"));
                let mut names = std::iter::once(usual.to_owned()).chain(numbered);
                names.find(|name| !self.taken.contains(name)).expect("numbers go on")
            }
        };
        self.taken.push(name.clone());
        Ok(name)
    }

    /// Those that are written behind a column.
    pub(crate) fn of_column(
        &mut self,
        columns: &[ColumnDef],
        column: &sqlparser::ast::ColumnDef,
    ) -> Result<()> {
        let at = named_column(columns, &fold(&column.name))?;
        for option in &column.options {
            match &option.option {
                ColumnOption::Unique(_) => self.unique(columns, option.name.as_ref(), vec![at]),
                ColumnOption::Check(check) => {
                    self.check(columns, option.name.as_ref(), &check.expr.to_string())?;
                }
                ColumnOption::ForeignKey(key) => {
                    self.reference(columns, option.name.as_ref(), vec![at], key)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One that is written by itself.
    pub(crate) fn add(&mut self, columns: &[ColumnDef], constraint: &TableConstraint) -> Result<()> {
        match constraint {
            TableConstraint::Unique(unique) => {
                let key = index_columns(columns, &unique.columns)?;
                self.unique(columns, unique.name.as_ref(), key);
            }
            TableConstraint::Check(check) => {
                self.check(columns, check.name.as_ref(), &check.expr.to_string())?;
            }
            TableConstraint::ForeignKey(key) => {
                let own = key.columns.iter().map(|name| named_column(columns, &fold(name)));
                self.reference(columns, key.name.as_ref(), own.collect::<Result<_>>()?, key)?;
            }
            other => return Err(SqlError::unsupported(format!("the constraint {other}"))),
        }
        Ok(())
    }

    fn named(&self, name: Option<&Ident>, columns: &[ColumnDef], key: &[u16], what: &str) -> String {
        name.map(fold).unwrap_or_else(|| {
            let list: Vec<&str> = key.iter().map(|at| columns[usize::from(*at)].name.as_str()).collect();
            let parts = [vec![self.table.as_str()], list, vec![what]].concat();
            parts.join("_")
        })
    }

    fn unique(&mut self, columns: &[ColumnDef], name: Option<&Ident>, key: Vec<u16>) {
        let name = self.named(name, columns, &key, "key");
        self.warnings.push(not_enforced(&format!("UNIQUE constraint {name:?}")));
        self.unique.push((name, key));
    }

    fn check(&mut self, columns: &[ColumnDef], name: Option<&Ident>, condition: &str) -> Result<()> {
        let scope = object_scope(&Object::new(self.table.clone(), columns.to_vec(), ""), None);
        let parameters = Parameters::forbidden("a CHECK");
        Binder::new(&scope, &parameters).condition(&parse_expr(condition)?)?;
        let name = self.free_name(name, &format!("{}_check", self.table))?;
        self.checks.push(Check { name, condition: condition.to_owned() });
        Ok(())
    }

    fn reference(
        &mut self,
        columns: &[ColumnDef],
        name: Option<&Ident>,
        key: Vec<u16>,
        foreign: &ForeignKeyConstraint,
    ) -> Result<()> {
        let usual = self.named(None, columns, &key, "fkey");
        let name = self.free_name(name, &usual)?;
        self.warnings.push(not_enforced(&format!("FOREIGN KEY constraint {name:?}")));
        let list: Vec<&str> = key.iter().map(|at| columns[usize::from(*at)].name.as_str()).collect();
        let table = object_name(&foreign.foreign_table)?;
        let referred: Vec<String> = foreign.referred_columns.iter().map(fold).collect();
        let referred = if referred.is_empty() { String::new() } else { format!("({})", referred.join(", ")) };
        let text = format!("FOREIGN KEY ({}) REFERENCES {table}{referred}", list.join(", "));
        self.references.push(Reference { name, columns: key, table, text });
        Ok(())
    }

    /// The ways to find rows that UNIQUE brings.
    pub(crate) fn paths(
        &self,
        catalog: &Catalog,
        columns: &[ColumnDef],
        stream: Stream,
        builder: &mut PlanBuilder,
    ) -> Result<Vec<AccessPath>> {
        let mut paths = Vec::new();
        for (name, key) in &self.unique {
            if catalog.is_taken(name) {
                return Err(SqlError::new("42P07", format!("relation {name:?} already exists")));
            }
            debug_assert!(key.iter().all(|at| usize::from(*at) < columns.len()));
            let names: Vec<String> =
                key.iter().map(|at| builder.columns(stream)[usize::from(*at)].name.clone()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let view = builder.view(&catalog.plan_name(name), stream, &names, &[])?;
            paths.push(AccessPath { name: name.clone(), view: view.0, key: key.clone(), ordered: false });
        }
        Ok(paths)
    }
}

/// ALTER TABLE ... ADD CONSTRAINT.
pub(crate) fn add_constraints(
    catalog: &Catalog,
    object: &Object,
    added: &[&TableConstraint],
    sql: &str,
) -> Result<Definition> {
    let mut constraints = Constraints::more(object);
    for constraint in added {
        constraints.add(&object.columns, constraint)?;
    }
    let mut builder = catalog.builder();
    let stream = catalog.stream(object, &builder)?;
    let paths = constraints.paths(catalog, &object.columns, stream, &mut builder)?;
    let Constraints { table, checks, references, warnings, .. } = constraints;
    let definition = catalog.entry(sql, Change::Constrain { table, checks, references, paths }, builder)?;
    Ok(definition.warning(warnings))
}

/// ALTER TABLE ... DROP CONSTRAINT.
pub(crate) fn drop_constraint(
    catalog: &Catalog,
    object: &Object,
    name: &str,
    if_exists: bool,
    sql: &str,
) -> Result<Definition> {
    if name == format!("{}_pkey", object.name) {
        return Err(SqlError::unsupported(format!("DROP CONSTRAINT of the primary key {name:?}"))
            .detail("The primary key says which shard owns a row and which row a write means."));
    }
    let mut builder = catalog.builder();
    let path = object.paths.iter().skip(1).find(|path| path.name == name);
    if let Some(path) = path {
        builder.drop_view(&catalog.view(path).name)?;
    }
    let is_there = path.is_some()
        || object.checks.iter().any(|check| check.name == name)
        || object.references.iter().any(|reference| reference.name == name);
    if !is_there {
        let message = format!("constraint {name:?} of relation {:?} does not exist", object.name);
        return match if_exists {
            true => Ok(Definition::Nothing(format!("{message}, skipping"))),
            false => Err(SqlError::new("42704", message)),
        };
    }
    let change = Change::DropConstraint { table: object.name.clone(), name: name.to_owned() };
    catalog.entry(sql, change, builder)
}

/// The CHECKs of a table, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    table: String,
    conditions: Vec<(String, Cell)>,
}

impl Checks {
    pub(crate) fn new(catalog: &Catalog, object: &Object, parameters: &Parameters) -> Result<Checks> {
        let scope = object_scope(object, None);
        let binder = Binder::new(&scope, parameters);
        let columns = catalog.engine_columns(object);
        let conditions = object.checks.iter().map(|check| {
            let condition = binder.condition(&parse_expr(&check.condition)?)?;
            Ok((check.name.clone(), Cell::new(&condition, columns, parameters)?))
        });
        Ok(Checks { table: object.name.clone(), conditions: conditions.collect::<Result<_>>()? })
    }

    /// Refuses a row that one of them forbids.
    pub(crate) fn check(&self, row: Row<'_>, context: &Context<'_>) -> Result<()> {
        for (name, condition) in &self.conditions {
            if condition.value(Some(row), context)? == Literal::Bool(false) {
                let message =
                    format!("new row for relation {:?} violates check constraint {name:?}", self.table);
                return Err(SqlError::new("23514", message));
            }
        }
        Ok(())
    }
}
