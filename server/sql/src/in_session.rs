//! What a statement says about the session that it is run in: who it is of, what it has set, and what it keeps.
//!
//! Before it is bound, functions that ask for the session become what they answer, and the tables of what the session keeps
//! become their rows. So a statement that asks for what may change is to be bound again each time that it is run.

use crate::change::parse_expr;
use crate::parse::{Parsed, parse};
use crate::sql_type::{Element, SqlType};
use crate::system::setting_names;
use operators::Datum;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Parens, SetExpr, Statement,
    TableAlias, TableFactor, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// The table of a session's cursors.
const CURSORS: &str = "pg_cursors";
/// The table of its prepared statements.
const STATEMENTS: &str = "pg_prepared_statements";
/// The function that asks for a setting.
const SETTING: &str = "current_setting";
/// The function that asks for the session's number.
const PROCESS: &[&str] = &["pg_backend_pid"];
/// The functions that ask whom the session is of.
const USER: &[&str] = &["current_user", "session_user", "current_role"];

/// A session, as far as statements can ask for it.
pub trait SessionView {
    /// Its number.
    fn number(&self) -> u32;
    /// Whom it is of.
    fn user(&self) -> &str;
    /// The value of a setting; none if there is none of this name.
    fn setting(&self, name: &str) -> Option<String>;
    /// Its cursors.
    fn cursors(&self) -> Vec<KeptCursor>;
    /// Its prepared statements.
    fn statements(&self) -> Vec<KeptStatement>;
}

/// A cursor or a portal, as pg_cursors shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCursor {
    /// Its name.
    pub name: String,
    /// The text that made it.
    pub statement: String,
    /// Whether it outlives its transaction.
    pub is_held: bool,
    /// Whether its rows are written in binary.
    pub is_binary: bool,
    /// When it was made: microseconds since 1970.
    pub made: i64,
}

/// A statement, as pg_prepared_statements shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStatement {
    /// Its name.
    pub name: String,
    /// The text that made it.
    pub statement: String,
    /// When it was made: microseconds since 1970.
    pub made: i64,
    /// The types of its parameters.
    pub parameters: Vec<SqlType>,
    /// Whether PREPARE made it, rather than the protocol.
    pub is_from_sql: bool,
}

impl Parsed {
    /// Whether [`Parsed::in_session`] may make another statement of it later in the same session.
    pub fn asks_for_session(&self) -> bool {
        let small = self.sql.to_ascii_lowercase();
        [CURSORS, STATEMENTS, SETTING].iter().any(|name| small.contains(name))
    }

    /// With what the session says where the statement asks for it.
    pub fn in_session(mut self, session: &dyn SessionView) -> Parsed {
        if matches!(self.statement, Statement::Prepare { .. }) {
            // What it prepares is told when it is bound.
            return self;
        }
        let small = self.sql.to_ascii_lowercase();
        let names = [CURSORS, STATEMENTS, SETTING];
        if names.iter().chain(PROCESS).chain(USER).any(|name| small.contains(name)) {
            let is_run_once = matches!(
                self.statement,
                Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)
            );
            let flow = VisitMut::visit(&mut self.statement, &mut Teller { session, is_run_once });
            assert!(flow.is_continue(), "nothing stops it");
        }
        self
    }
}

struct Teller<'s> {
    session: &'s dyn SessionView,
    /// Whether the statement is not kept, as that of a view is.
    is_run_once: bool,
}

impl VisitorMut for Teller<'_> {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, .. } = &factor else { return ControlFlow::Continue(()) };
        let name = name.0.last().map(|part| part.to_string()).unwrap_or_default();
        let shown = match name.as_str() {
            CURSORS => cursors(self.session.cursors()),
            STATEMENTS => statements(self.session.statements()),
            _ => None,
        };
        if let Some(shown) = shown {
            *factor = shown.named(&name, alias.clone());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, ast: &mut Expr) -> ControlFlow<()> {
        let Expr::Function(function) = ast else { return ControlFlow::Continue(()) };
        let name = function.name.0.last().map(|part| part.to_string().to_ascii_lowercase());
        match name.as_deref() {
            Some(name) if PROCESS.contains(&name) => {
                tell(&mut function.args, Value::Number(self.session.number().to_string(), false));
            }
            Some(name) if USER.contains(&name) => {
                tell(&mut function.args, Value::SingleQuotedString(self.session.user().to_owned()));
            }
            Some(SETTING) if self.is_run_once => {
                let told = match asked_setting(&function.args) {
                    Some(Expr::Value(name)) => match &name.value {
                        Value::SingleQuotedString(name) => self.session.setting(name).map(text),
                        _ => self.any_setting(&name.to_string()),
                    },
                    Some(name) => self.any_setting(&name.to_string()),
                    None => None,
                };
                if let Some(told) = told {
                    *ast = told;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Teller<'_> {
    /// The value of the setting whose name an expression gives; NULL if it names none.
    fn any_setting(&self, name: &str) -> Option<Expr> {
        let mut cases = format!("CASE lower({name})");
        for known in setting_names() {
            let value = self.session.setting(known).unwrap_or_default().replace('\'', "''");
            cases += &format!(" WHEN '{}' THEN '{value}'", known.to_lowercase());
        }
        cases += " END";
        // What cannot be read as an expression is refused where it is bound.
        parse_expr(&cases).ok()
    }
}

/// What names the setting that is asked for.
fn asked_setting(arguments: &FunctionArguments) -> Option<&Expr> {
    let FunctionArguments::List(list) = arguments else { return None };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(name)) => Some(name),
        _ => None,
    }
}

/// Gives a function without arguments the one that says what it is to answer.
fn tell(arguments: &mut FunctionArguments, answer: Value) {
    let answer = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::value(answer)));
    match arguments {
        FunctionArguments::List(list) if list.args.is_empty() => list.args.push(answer),
        FunctionArguments::None => {
            let args = vec![answer];
            *arguments = FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: None,
                args,
                clauses: Vec::new(),
            });
        }
        _ => {}
    }
}

/// Rows of a table.
struct Shown {
    /// The names of the columns.
    names: &'static str,
    rows: Vec<Vec<Expr>>,
}

fn text(value: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(value.into()))
}

fn flag(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

/// A text of our own as a constant of a type.
fn constant(text: &str, ty: SqlType) -> Expr {
    assert!(!text.contains('\''), "it is the text of a time or of types");
    parse_expr(&format!("CAST('{text}' AS {ty})")).expect("it is SQL")
}

fn time(micros: i64) -> Expr {
    let mut printed = String::new();
    crate::text::print(SqlType::TimestampTz, Datum::Timestamp(micros), &mut printed);
    constant(&printed, SqlType::TimestampTz)
}

/// Nothing if there are none: then the table is that of pg_catalog, which has no rows.
fn cursors(cursors: Vec<KeptCursor>) -> Option<Shown> {
    let row = |cursor: KeptCursor| {
        let KeptCursor { name, statement, is_held, is_binary, made } = cursor;
        vec![text(name), text(statement), flag(is_held), flag(is_binary), flag(false), time(made)]
    };
    let rows: Vec<Vec<Expr>> = cursors.into_iter().map(row).collect();
    let names = "name, statement, is_holdable, is_binary, is_scrollable, creation_time";
    (!rows.is_empty()).then_some(Shown { names, rows })
}

fn statements(statements: Vec<KeptStatement>) -> Option<Shown> {
    let row = |statement: KeptStatement| {
        let KeptStatement { name, statement, made, parameters, is_from_sql } = statement;
        let types: Vec<String> = parameters.iter().map(|ty| ty.bare().to_string()).collect();
        let types = operators::expr::arrays::array(types.iter().map(|ty| Some(ty.as_str())));
        let types = constant(&types, SqlType::Array(Element::Text));
        // Plans are made once, and nobody counts how often they are used.
        let unknown = || parse_expr("CAST(NULL AS bigint)").expect("it is SQL");
        vec![text(name), text(statement), time(made), types, flag(is_from_sql), unknown(), unknown()]
    };
    let rows: Vec<Vec<Expr>> = statements.into_iter().map(row).collect();
    let names = "name, statement, prepare_time, parameter_types, from_sql, generic_plans, custom_plans";
    (!rows.is_empty()).then_some(Shown { names, rows })
}

impl Shown {
    /// The rows as a part of FROM, in the place of the table `name`.
    fn named(self, name: &str, alias: Option<TableAlias>) -> TableFactor {
        let Shown { names, rows } = self;
        let mut factor = first_factor(&format!("SELECT 1 FROM (VALUES (1)) AS {name}({names})"));
        let TableFactor::Derived { subquery: values, alias: own, .. } = &mut factor else {
            unreachable!("it is a subquery")
        };
        let SetExpr::Values(values) = &mut *values.body else { unreachable!("it is VALUES") };
        let place = values.rows.pop().expect("it has one row");
        values.rows = rows.into_iter().map(|content| Parens { content, ..place.clone() }).collect();
        if let (Some(own), Some(TableAlias { name, columns, .. })) = (own, alias) {
            own.name = name;
            // Names that are given replace the first ones.
            own.columns.iter_mut().zip(columns).for_each(|(own, given)| *own = given);
        }
        factor
    }
}

/// What the query of a text of our own reads first.
fn first_factor(text: &str) -> TableFactor {
    let parsed = parse(text).expect("it is SQL").pop().expect("it is one statement");
    let Statement::Query(query) = parsed.statement else { unreachable!("it is a query") };
    let SetExpr::Select(mut select) = *query.body else { unreachable!("it is a SELECT") };
    select.from.pop().expect("it reads something").relation
}
