//! What SHOW tells of the database itself: its shards, its views.

use std::collections::HashMap;

use operators::{Datum, RowBuilder, Rows, ViewId};
use runtime::front::{Front, FrontError, ShardReport};
use runtime::live::Recovery;
use sql::{Catalog, Object, ResultColumn, SqlType};

/// A table that SHOW makes.
struct Table {
    /// Its name after SHOW.
    name: &'static str,
    columns: &'static [(&'static str, SqlType)],
}

const NUMBER: SqlType = SqlType::BigInt;
const MILLIS: SqlType = SqlType::Double;
const TEXT: SqlType = SqlType::Text;

/// The five times say when each part of the last recovery was over, counted from the death.
const SHARDS: Table = Table {
    name: "shards",
    columns: &[
        ("shard", NUMBER),
        ("core", NUMBER),
        ("pid", NUMBER),
        ("incarnation", NUMBER),
        ("state", TEXT),
        ("label", NUMBER),
        ("durable_record", NUMBER),
        ("lag", NUMBER),
        ("log_bytes", NUMBER),
        ("memory_bytes", NUMBER),
        ("rows_written", NUMBER),
        ("lookups", NUMBER),
        ("kills", NUMBER),
        ("last_signal", TEXT),
        ("detected_ms", MILLIS),
        ("restarted_ms", MILLIS),
        ("replayed_ms", MILLIS),
        ("steered_ms", MILLIS),
        ("caught_up_ms", MILLIS),
    ],
};

const VIEWS: Table = Table {
    name: "views",
    columns: &[
        ("view", TEXT),
        ("kind", TEXT),
        ("lookup_key", TEXT),
        ("state", TEXT),
        ("filled_percent", MILLIS),
        ("detail", TEXT),
    ],
};

/// Views that cannot be read because an expression has no value on some row, with the error.
pub type Failing = HashMap<ViewId, String>;

/// The columns of SHOW `name`, if it is one of these.
pub fn columns(name: &str) -> Option<Vec<ResultColumn>> {
    let table = [SHARDS, VIEWS].into_iter().find(|table| table.name == name)?;
    let columns = table.columns.iter();
    Some(columns.map(|(name, ty)| ResultColumn { name: (*name).to_owned(), ty: *ty }).collect())
}

/// The rows of SHOW `name`, if it is one of these.
pub fn rows(name: &str, front: &mut Front, catalog: &Catalog, failing: &Failing) -> Option<Rows> {
    match name {
        "shards" => Some(shards(&front.shard_reports())),
        "views" => Some(views(front, catalog, failing)),
        _ => None,
    }
}

fn shards(reports: &[ShardReport]) -> Rows {
    let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
    let number = |value: u64| Datum::Int(i64::try_from(value).unwrap_or(i64::MAX));
    for report in reports {
        let state = if report.log_full { "disk full".to_owned() } else { report.phase.to_string() };
        let recovery = report.last_recovery.as_ref();
        let signal = recovery.map(|recovery| signal_name(recovery.signal));
        builder.start(SHARDS.columns.len());
        builder.push(number(report.shard.0.into()));
        builder.push(number(report.core));
        builder.push(report.pid.map_or(Datum::Null, |pid| number(pid.into())));
        builder.push(number(report.incarnation));
        builder.push(Datum::Text(&state));
        builder.push(number(report.label.0));
        for value in [
            report.durable_record,
            report.lag,
            report.log_bytes,
            report.memory_bytes,
            report.rows_written,
            report.lookups,
            report.deaths,
        ] {
            builder.push(number(value));
        }
        builder.push(signal.as_deref().map_or(Datum::Null, Datum::Text));
        for time in times(recovery) {
            builder.push(time.map_or(Datum::Null, Datum::Float));
        }
        rows.push(builder.finish());
    }
    rows
}

fn times(recovery: Option<&Recovery>) -> [Option<f64>; 5] {
    let rounded = |millis: f64| (millis * 1000.0).round() / 1000.0;
    let Some(r) = recovery else { return [None; 5] };
    [r.detected_ms, r.restarted_ms, r.replayed_ms, r.steered_ms, r.caught_up_ms].map(|t| Some(rounded(t)))
}

fn signal_name(signal: i32) -> String {
    match signal_hook::low_level::signal_name(signal) {
        Some(name) => name.to_owned(),
        None if signal == 0 => "ended by itself".to_owned(),
        None => format!("signal {signal}"),
    }
}

/// One row for each way to find rows of a table or a view.
fn views(front: &mut Front, catalog: &Catalog, failing: &Failing) -> Rows {
    let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
    for object in catalog.objects().iter().filter(|object| !object.is_hidden()) {
        for path in &object.paths {
            let kind = if path.name == object.name { object.kind_name() } else { "index" };
            let key = key_names(object, &path.key);
            let view = ViewId(path.view);
            let (state, detail) = match front.is_whole(view) {
                Ok(true) if failing.contains_key(&view) => ("failing", failing.get(&view).cloned()),
                Ok(true) => ("whole", None),
                Ok(false) => ("filling", None),
                Err(FrontError::Refused(error)) => ("down", Some(error.to_string())),
                Err(error) => ("unknown", Some(error.to_string())),
            };
            let filled = match (state, front.build_progress(view)) {
                ("whole" | "failing", _) => Some(100.0),
                (_, Ok(progress)) if progress.all > 0 => {
                    Some((progress.done as f64 * 1000.0 / progress.all as f64).round() / 10.0)
                }
                _ => None,
            };
            builder.start(VIEWS.columns.len());
            builder.push(Datum::Text(&path.name));
            builder.push(Datum::Text(kind));
            builder.push(Datum::Text(&key));
            builder.push(Datum::Text(state));
            builder.push(filled.map_or(Datum::Null, Datum::Float));
            builder.push(detail.as_deref().map_or(Datum::Null, Datum::Text));
            rows.push(builder.finish());
        }
    }
    rows
}

fn key_names(object: &Object, key: &[u16]) -> String {
    if key.is_empty() {
        return "(all rows)".to_owned();
    }
    let name = |at: &u16| match object.columns.get(usize::from(*at)) {
        Some(column) => column.name.clone(),
        None => format!("order {at}"),
    };
    key.iter().map(name).collect::<Vec<_>>().join(", ")
}
