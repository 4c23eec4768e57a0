//! Plans of queries: streams of the engine with SQL's names for their columns.

use crate::catalog::{Catalog, Object, ObjectKind};
use crate::error::{Result, SqlError};
use crate::evaluate::Cell;
use crate::expression::Binder;
use crate::locking::inside;
use crate::parameters::Parameters;
use crate::rank::{Rank, RankCondition};
use crate::scope::{LEAVING, Scope};
use crate::sql_type::SqlType;
use crate::table::Table;
use operators::expr::{Expr, col_at};
use operators::{Column, PlanBuilder, Rows, Stream, Type};
use sqlparser::ast::{FunctionArg, FunctionArgExpr, ObjectName};
use std::sync::Arc;

/// The column by which rows that a query says keep their order; no SQL name equals it.
pub(crate) const ROW_NUMBER: &str = "\u{1}row_number";

/// Makes the streams of one statement's query.
pub(crate) struct Planner<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) parameters: &'a Parameters,
    pub(crate) builder: PlanBuilder,
    /// The queries of WITH that are in sight, by name; later ones hide earlier ones.
    pub(crate) named: Vec<(String, Relation)>,
    /// Objects that the query reads.
    pub(crate) depends: Vec<String>,
    /// Makes names for columns that SQL does not name.
    hidden: u32,
    /// Views that are being expanded: a limit to their nesting.
    pub(crate) depth: usize,
    /// What WHERE says of the numbers of rows, as far as nothing in FROM has taken it.
    pub(crate) rank_conditions: Vec<RankCondition>,
    /// Where the rows of tables and views come from.
    pub(crate) place: Place,
    /// A column of a table that nothing may read.
    leaving: Option<(String, usize)>,
}

/// Where a plan runs.
#[derive(Debug)]
pub(crate) enum Place {
    /// On the shards, continuing the plan of everything.
    Shards,
    /// In the front, once. Each object that the query names is read as an inlet of its own.
    Front(Vec<Inlet>),
}

/// Where the rows of an object come into a plan that runs in the front.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) object: String,
    pub(crate) stream: Stream,
    /// Its rows, where they are not the shards'.
    pub(crate) given: Option<Given>,
}

/// Rows that the front has by itself.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    /// These.
    Rows(Arc<Rows>),
    /// What a subquery has given that was run before: by number from 0.
    Before(usize),
    /// What the query itself says.
    Table(Arc<Table>),
    /// Integers: the first, the last, and how far it is from one to the next.
    Series(Box<[Cell; 3]>),
}

/// The result of a query.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) stream: Stream,
    /// What SQL sees.
    pub(crate) columns: Vec<OutputColumn>,
    /// Positions in the stream of columns that no two rows agree in, if some are known.
    pub(crate) unique: Option<Vec<usize>>,
    /// The order asked for: positions in the stream, and whether descending.
    pub(crate) order: Vec<(usize, bool)>,
    /// Whether LIMIT has cut it: it is small, and read as a whole.
    pub(crate) limited: bool,
    /// The columns of the row that an aggregate over nothing has, over no columns.
    pub(crate) empty_row: Option<Vec<Expr>>,
    /// The numbers of rows in their groups, which the query around this one has to cut.
    pub(crate) rank: Option<Rank>,
}

/// A column of a result.
#[derive(Debug, Clone)]
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) ty: SqlType,
    /// Its position in the stream.
    pub(crate) at: usize,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(catalog: &'a Catalog, parameters: &'a Parameters) -> Self {
        Planner {
            catalog,
            parameters,
            builder: catalog.builder(),
            named: Vec::new(),
            depends: Vec::new(),
            hidden: 0,
            depth: 0,
            rank_conditions: Vec::new(),
            place: Place::Shards,
            leaving: None,
        }
    }

    /// Whatever reads this column of a table fails.
    pub(crate) fn without(self, table: &Object, column: usize) -> Self {
        Planner { leaving: Some((table.name.clone(), column)), ..self }
    }

    /// For a plan that runs in the front, once.
    pub(crate) fn in_front(catalog: &'a Catalog, parameters: &'a Parameters) -> Self {
        let builder = PlanBuilder::new();
        Planner { builder, place: Place::Front(Vec::new()), ..Planner::new(catalog, parameters) }
    }

    /// The rows of a table or view.
    pub(crate) fn object(&mut self, object: &Object) -> Result<Relation> {
        if !self.depends.contains(&object.name) {
            self.depends.push(object.name.clone());
        }
        if let ObjectKind::View { query } = &object.kind {
            return self.expand(object, query);
        }
        let columns = object.columns.iter().enumerate();
        let name = |at: usize, name: &String| match &self.leaving {
            Some((table, leaving)) if *table == object.name && *leaving == at => LEAVING.to_owned(),
            _ => name.clone(),
        };
        let columns =
            columns.map(|(at, column)| OutputColumn { name: name(at, &column.name), ty: column.ty, at });
        Ok(Relation {
            columns: columns.collect(),
            stream: self.stream_of(object)?,
            unique: object.unique.as_ref().map(|key| key.iter().map(|at| usize::from(*at)).collect()),
            order: Vec::new(),
            limited: false,
            empty_row: None,
            rank: None,
        })
    }

    fn stream_of(&mut self, object: &Object) -> Result<Stream> {
        let Place::Front(inlets) = &mut self.place else {
            return self.catalog.stream(object, &self.builder);
        };
        let name = format!("{}#{}", object.name, inlets.len());
        let stream = self.builder.inlet(&name, self.catalog.engine_columns(object))?;
        inlets.push(Inlet { object: object.name.clone(), stream, given: None });
        Ok(stream)
    }

    /// Rows that the front has by itself.
    pub(crate) fn given(
        &mut self,
        name: &str,
        columns: Vec<(String, SqlType)>,
        given: Given,
    ) -> Result<Relation> {
        let Place::Front(inlets) = &mut self.place else {
            return Err(SqlError::unsupported(format!("a view over {name}")));
        };
        let ordered = matches!(given, Given::Table(_));
        let mut engine: Vec<Column> = Vec::with_capacity(columns.len() + 1);
        for (at, (name, ty)) in columns.iter().enumerate() {
            let is_taken = engine.iter().any(|column| column.name == *name);
            let name = if is_taken { format!("\u{1}{name}{at}") } else { name.clone() };
            engine.push(Column { name, ty: ty.engine(), nullable: true });
        }
        if ordered {
            engine.push(Column { name: ROW_NUMBER.to_owned(), ty: Type::Int, nullable: false });
        }
        let stream = self.builder.inlet(&format!("{name}#{}", inlets.len()), &engine)?;
        inlets.push(Inlet { object: name.to_owned(), stream, given: Some(given) });
        let columns = columns.into_iter().enumerate();
        Ok(Relation {
            stream,
            columns: columns.map(|(at, (name, ty))| OutputColumn { name, ty, at }).collect(),
            unique: None,
            order: if ordered { vec![(engine.len() - 1, false)] } else { Vec::new() },
            limited: false,
            empty_row: None,
            rank: None,
        })
    }

    /// A table of pg_catalog or information_schema, or one that is given to the statement, if the name is of one.
    pub(crate) fn system_table(&mut self, name: &ObjectName) -> Result<Option<Relation>> {
        if let Some(number) = inside::number_of(name) {
            let columns = self.parameters.given(number).unwrap_or_default();
            let columns = columns.into_iter().map(|column| (column.name, column.ty)).collect();
            return self.given("what was locked", columns, Given::Before(number)).map(Some);
        }
        let Some(table) = crate::system::table(self.catalog, name) else { return Ok(None) };
        let columns = table.columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
        self.given(&table.name, columns, Given::Rows(Arc::new(table.rows()))).map(Some)
    }

    /// `generate_series(first, last [, step])` over integers.
    pub(crate) fn series(&mut self, arguments: &[FunctionArg], column: String) -> Result<Relation> {
        let nothing = Scope::default();
        let binder = Binder::new(&nothing, self.parameters);
        let mut cells = Vec::new();
        let mut wide = false;
        for argument in arguments {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(ast)) = argument else {
                return Err(SqlError::unsupported("a named argument of generate_series"));
            };
            let typed = binder.bind(ast)?;
            match typed.known() {
                None => {}
                Some(ty) if ty.is_integer() => wide |= ty == SqlType::BigInt,
                Some(ty) => return Err(SqlError::unsupported(format!("generate_series of {ty}"))),
            }
            let expr = typed.convert(SqlType::BigInt, self.parameters)?;
            cells.push(Cell::new(&expr, &[], self.parameters)?);
        }
        if cells.len() == 2 {
            cells.push(Cell::new(&operators::expr::lit(1), &[], self.parameters)?);
        }
        let Ok(cells) = <[Cell; 3]>::try_from(cells) else {
            return Err(SqlError::new("42883", "generate_series takes two or three integers"));
        };
        let ty = if wide { SqlType::BigInt } else { SqlType::Integer };
        self.given("generate_series", vec![(column, ty)], Given::Series(Box::new(cells)))
    }

    /// A view that is a query by name.
    fn expand(&mut self, object: &Object, query: &str) -> Result<Relation> {
        /// Views that read views that read views.
        const DEPTH_MAX: usize = 32;
        if self.depth == DEPTH_MAX {
            return Err(SqlError::new("54001", format!("views are nested at most {DEPTH_MAX} deep")));
        }
        let parsed = crate::parse::parse(query)?;
        let [parsed] = parsed.as_slice() else { unreachable!("a view keeps one query") };
        let sqlparser::ast::Statement::Query(query) = &parsed.statement else {
            unreachable!("a view keeps a query")
        };
        let outside = std::mem::take(&mut self.named);
        self.depth += 1;
        let relation = self.ranked_query(query);
        self.depth -= 1;
        self.named = outside;
        let mut relation = relation?;
        for (column, def) in relation.columns.iter_mut().zip(&object.columns) {
            column.name.clone_from(&def.name);
        }
        Ok(relation)
    }

    /// A name for a column that no SQL name equals.
    pub(crate) fn hidden_name(&mut self, what: &str) -> String {
        self.hidden += 1;
        format!("\u{1}{what}{}", self.hidden)
    }

    /// The name in the plan of the column at `at`.
    pub(crate) fn name_at(&self, stream: Stream, at: usize) -> String {
        self.builder.columns(stream)[at].name.clone()
    }

    pub(crate) fn names_at(&self, stream: Stream, at: &[usize]) -> Vec<String> {
        at.iter().map(|at| self.name_at(stream, *at)).collect()
    }

    /// A map with these columns, named by `names` as far as they are free.
    pub(crate) fn map(&mut self, input: Stream, columns: Vec<(String, Expr)>) -> Result<Stream> {
        let columns: Vec<(String, Expr)> =
            columns.into_iter().map(|(name, expr)| (name, self.parameters.placed(&expr))).collect();
        let same = |(at, (name, expr)): (usize, &(String, Expr))| {
            *expr == col_at(at as u32) && *name == self.name_at(input, at)
        };
        let width = self.builder.columns(input).len();
        if columns.len() == width && columns.iter().enumerate().all(same) {
            return Ok(input);
        }
        let mut taken: Vec<String> = Vec::with_capacity(columns.len());
        for (name, _) in &columns {
            let name = if taken.contains(name) { self.hidden_name(name) } else { name.clone() };
            taken.push(name);
        }
        let columns: Vec<(&str, Expr)> =
            taken.iter().map(String::as_str).zip(columns.into_iter().map(|(_, expr)| expr)).collect();
        Ok(self.builder.map(input, &columns)?)
    }

    /// The stream with these expressions as columns, and where they are; those that are columns already stay there.
    pub(crate) fn with_columns(&mut self, input: Stream, exprs: &[Expr]) -> Result<(Stream, Vec<usize>)> {
        let width = self.builder.columns(input).len();
        let mut columns: Vec<(String, Expr)> =
            (0..width).map(|at| (self.name_at(input, at), col_at(at as u32))).collect();
        let mut positions = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let at = match columns.iter().position(|(_, column)| column == expr) {
                Some(at) => at,
                None => {
                    columns.push((self.hidden_name("computed"), expr.clone()));
                    columns.len() - 1
                }
            };
            positions.push(at);
        }
        Ok((self.map(input, columns)?, positions))
    }
}
