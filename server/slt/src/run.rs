//! One file, one way.

use crate::Error;
use crate::answer::{Answer, Connection, Failure, Kind};
use crate::file::{applies, labels, records};
use sqllogictest::{ExpectedError, QueryExpect, Record, SortMode, StatementExpect};
use std::collections::HashMap;
use std::path::Path;

/// How the queries of a file are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As they stand.
    Scan,
    /// As views that are made as soon as what they read is there.
    Before,
    /// As views that are made where the queries stand.
    After,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 3] = [Way::Scan, Way::Before, Way::After];

    /// Its name, as a label too.
    pub fn name(self) -> &'static str {
        match self {
            Way::Scan => "scan",
            Way::Before => "before",
            Way::After => "after",
        }
    }
}

/// What came of a file.
#[derive(Debug, Default)]
pub struct Report {
    /// Records that were run.
    pub ran: usize,
    /// Records that are not for this engine or this way.
    pub skipped: usize,
    /// Where what came was not what had to come: place, statement, what came.
    pub failures: Vec<String>,
}

/// Runs a file; what it has made is gone afterwards.
pub fn run(path: &Path, engine: &str, way: Way, connection: &mut dyn Connection) -> Result<Report, Error> {
    let records = records(path)?;
    let labels = labels(engine, way);
    let exact = engine == "postgresql";
    let mut session =
        Session { connection, way, exact, views: Views::of(&records, way, &labels), made: Vec::new() };
    let mut report = Report::default();
    for record in &records {
        let (conditions, place, sql) = match record {
            Record::Statement { conditions, loc, sql, .. } | Record::Query { conditions, loc, sql, .. } => {
                (conditions, loc, sql)
            }
            _ => continue,
        };
        if !applies(conditions, &labels) {
            report.skipped += 1;
            continue;
        }
        report.ran += 1;
        let outcome = match record {
            Record::Statement { expected, .. } => session.statement(sql, expected),
            Record::Query { expected, .. } => session.query(sql, expected),
            _ => unreachable!("others were passed over"),
        };
        if let Err(what) = outcome {
            report.failures.push(format!("{place} ({}): {sql}\n{what}", way.name()));
        }
    }
    session.clean();
    Ok(report)
}

/// The views that stand for queries, by the queries' text.
#[derive(Default)]
struct Views {
    /// Queries that have no view yet, in the order of the file.
    missing: Vec<(String, usize)>,
    /// The views that are there: name and number of columns.
    made: HashMap<String, (String, usize)>,
    count: usize,
}

impl Views {
    /// All queries of a file, if views are made before there are rows.
    fn of(records: &[Record<Kind>], way: Way, labels: &[&str]) -> Views {
        let mut views = Views::default();
        if way != Way::Before {
            return views;
        }
        for record in records {
            if let Record::Query { sql, conditions, expected: QueryExpect::Results { types, .. }, .. } =
                record
                && applies(conditions, labels)
                && !views.missing.iter().any(|(other, _)| other == sql)
            {
                views.missing.push((sql.clone(), types.len()));
            }
        }
        views
    }
}

struct Session<'a> {
    connection: &'a mut dyn Connection,
    way: Way,
    /// Whether numbers must agree to the last digit.
    exact: bool,
    views: Views,
    /// What statements have made, to be dropped at the end: kind and name.
    made: Vec<(&'static str, String)>,
}

impl Session<'_> {
    fn statement(&mut self, sql: &str, expected: &StatementExpect) -> Result<(), String> {
        let words: Vec<String> = sql.split_whitespace().take(8).map(str::to_lowercase).collect();
        let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        let ends = matches!(word(0), "drop" | "alter");
        if ends {
            self.drop_views();
        }
        let outcome = self.connection.run(sql);
        if outcome.is_ok() && word(0) == "create" {
            self.note_made(&words);
        }
        if outcome.is_ok() && (ends || word(0) == "create") {
            self.make_views();
        }
        match (expected, outcome) {
            (StatementExpect::Ok, Ok(_)) => Ok(()),
            (StatementExpect::Count(wanted), Ok(answer)) if answer.count == *wanted => Ok(()),
            (StatementExpect::Count(wanted), Ok(answer)) => {
                Err(format!("  {} rows were written instead of {wanted}", answer.count))
            }
            (StatementExpect::Ok | StatementExpect::Count(_), Err(failure)) => Err(format!("  {failure}")),
            (StatementExpect::Error(wanted), outcome) => check_error(wanted, outcome),
        }
    }

    fn query(&mut self, sql: &str, expected: &QueryExpect<Kind>) -> Result<(), String> {
        let columns = match expected {
            QueryExpect::Results { types, .. } => Some(types.len()),
            QueryExpect::Error(_) => None,
        };
        let outcome = match self.way {
            Way::Scan => self.connection.run(sql),
            Way::After => self.as_new_view(sql, columns),
            Way::Before => self.as_old_view(sql, columns),
        };
        match (expected, outcome) {
            (QueryExpect::Error(wanted), outcome) => check_error(wanted, outcome),
            (QueryExpect::Results { .. }, Err(failure)) => Err(format!("  {failure}")),
            (QueryExpect::Results { types, sort_mode, results, .. }, Ok(answer)) => {
                let letters = |kinds: &[Kind]| kinds.iter().map(|kind| kind.0).collect::<String>();
                let in_order = self.way == Way::Scan && *sort_mode != Some(SortMode::RowSort);
                check_rows(types, results, &answer, in_order, self.exact)?;
                if !same_kinds(types, &answer.kinds, self.exact) {
                    return Err(format!("  types {} instead of {}", letters(&answer.kinds), letters(types)));
                }
                Ok(())
            }
        }
    }

    fn as_new_view(&mut self, sql: &str, columns: Option<usize>) -> Result<Answer, Failure> {
        let name = self.make_view(sql, columns)?;
        let answer = self.connection.run(&format!("SELECT * FROM {name}"));
        let dropped = self.connection.run(&format!("DROP MATERIALIZED VIEW {name}"));
        let answer = answer?;
        dropped?;
        Ok(answer)
    }

    fn as_old_view(&mut self, sql: &str, columns: Option<usize>) -> Result<Answer, Failure> {
        let name = match self.views.made.get(sql) {
            Some((name, _)) => name.clone(),
            // It could not be made until now: this says why.
            None => self.make_view(sql, columns)?,
        };
        self.connection.refresh(&name)?;
        let answer = self.connection.run(&format!("SELECT * FROM {name}"));
        self.views.made.entry(sql.to_owned()).or_insert((name, columns.unwrap_or(0)));
        answer
    }

    fn make_view(&mut self, sql: &str, columns: Option<usize>) -> Result<String, Failure> {
        self.views.count += 1;
        let name = format!("slt_view_{}", self.views.count);
        let names: Vec<String> = (1..=columns.unwrap_or(0)).map(|number| format!("c{number}")).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        self.connection.run(&format!("CREATE MATERIALIZED VIEW {name}{names} AS {sql}"))?;
        Ok(name)
    }

    /// Makes those views whose tables are there by now.
    fn make_views(&mut self) {
        for (sql, columns) in std::mem::take(&mut self.views.missing) {
            match self.make_view(&sql, Some(columns)) {
                Ok(name) => {
                    self.views.made.insert(sql, (name, columns));
                }
                // What it reads comes later; if not, the query itself says so.
                Err(_) => self.views.missing.push((sql, columns)),
            }
        }
    }

    /// Drops all views, since they keep tables from being dropped. They are made again with the next table.
    fn drop_views(&mut self) {
        for (sql, (name, columns)) in std::mem::take(&mut self.views.made) {
            // That it cannot be dropped shows in the statement that comes next.
            let _ = self.connection.run(&format!("DROP MATERIALIZED VIEW {name}"));
            self.views.missing.push((sql, columns));
        }
    }

    fn note_made(&mut self, words: &[String]) {
        let kinds = [("table", "TABLE"), ("materialized", "MATERIALIZED VIEW"), ("view", "VIEW")];
        let Some((_, kind)) = kinds.iter().find(|(word, _)| words.get(1).is_some_and(|w| w == word)) else {
            return;
        };
        let skipped = if *kind == "MATERIALIZED VIEW" { 3 } else { 2 };
        let name = words[skipped..].iter().find(|word| !matches!(word.as_str(), "if" | "not" | "exists"));
        if let Some(name) = name {
            let name = name.split('(').next().unwrap_or_default().to_owned();
            self.made.push((kind, name));
        }
    }

    fn clean(&mut self) {
        self.drop_views();
        for (kind, name) in std::mem::take(&mut self.made).into_iter().rev() {
            // The file may have dropped it itself, and made something else of this name.
            let _ = self.connection.run(&format!("DROP {kind} IF EXISTS {name} CASCADE"));
        }
    }
}

/// Whether the types agree: to the modifier where digits must, else only as far as clients see a difference.
fn same_kinds(wanted: &[Kind], found: &[Kind], exact: bool) -> bool {
    let plain = |kind: &Kind| match kind.0 {
        _ if exact => kind.0,
        'N' => 'R',
        'V' => 'T',
        other => other,
    };
    wanted.iter().map(plain).eq(found.iter().map(plain))
}

fn check_error(wanted: &ExpectedError, outcome: Result<Answer, Failure>) -> Result<(), String> {
    match outcome {
        Ok(answer) => Err(format!(
            "  no error, {} rows, but {wanted} was to come",
            answer.rows.len().max(answer.count as usize)
        )),
        Err(failure) if wanted.is_match(&failure.message, Some(&failure.sqlstate)) => Ok(()),
        Err(failure) => Err(format!("  {failure}, but {wanted} was to come")),
    }
}

fn check_rows(
    kinds: &[Kind],
    wanted: &[String],
    answer: &Answer,
    in_order: bool,
    exact: bool,
) -> Result<(), String> {
    // A scale that one side has lost is none of the other's either.
    let bare = |at: usize| {
        let is = |kinds: &[Kind]| kinds.get(at) == Some(&Kind::BARE_NUMERIC);
        is(kinds) || is(&answer.kinds)
    };
    let canonical = |line: &str| match exact {
        true => line.to_owned(),
        false => canonical(line, bare),
    };
    let mut wanted: Vec<String> = wanted.iter().map(|line| canonical(line)).collect();
    let mut found: Vec<String> = answer.rows.iter().map(|row| canonical(&line(row))).collect();
    if !in_order {
        wanted.sort();
        found.sort();
    }
    if wanted == found {
        return Ok(());
    }
    let listed = |lines: &[String]| lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    Err(format!("  wanted:\n{}  found:\n{}", listed(&wanted), listed(&found)))
}

/// A row as a line of a file.
pub(crate) fn line(row: &[Option<String>]) -> String {
    let value = |value: &Option<String>| match value.as_deref() {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\\', "\\\\").replace('\n', "\\n").replace('|', "\\|"),
    };
    row.iter().map(value).collect::<Vec<_>>().join("|")
}

/// The line with its numerics of no scale cut to the digits that engines agree on: PostgreSQL gives a quotient about 20
/// digits and keeps the zeros at the end of what was written, others have their own way.
fn canonical(line: &str, is_bare: impl Fn(usize) -> bool) -> String {
    /// Digits after the point that a quotient has at least.
    const DIGITS: usize = 12;
    let values = line.split('|').enumerate().map(|(at, value)| match value.split_once('.') {
        Some((whole, digits)) if is_bare(at) => {
            let digits = &digits[..digits.len().min(DIGITS)];
            let number = format!("{whole}.{digits}");
            let number = number.trim_end_matches('0').trim_end_matches('.');
            if number == "-0" { "0".to_owned() } else { number.to_owned() }
        }
        _ => value.to_owned(),
    });
    values.collect::<Vec<_>>().join("|")
}
