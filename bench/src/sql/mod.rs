//! Sakia and PostgreSQL side by side, over the same protocol, in one run.
//!
//! Votes on stories and the count of each story: a materialised view in Sakia, a table that a trigger keeps in
//! PostgreSQL, both durable before a write is acknowledged. Each round measures every workload on one server and then
//! on the other, so that what else the machine does falls on both; what is reported are medians and the spread of the
//! rounds. The load generator is one thread on the same machine.
//!
//! | workload | one operation |
//! |---|---|
//! | lookup | a prepared SELECT of a count by its story; the next is sent when the answer is there |
//! | pipelined | the same with 64 under way on one connection |
//! | insert N | a prepared INSERT of one vote, on N connections, each one at a time |
//! | copy | a row of the year of flights, by one COPY, with views of them in place |

mod load;
mod setup;

use std::path::Path;

use serde::Serialize;

use crate::cli::Sql;
use crate::error::Error;
use load::Workload;
use setup::Server;

/// One workload on both servers.
#[derive(Debug, Serialize)]
struct Row {
    workload: String,
    /// Operations a second, a round each.
    sakia: Vec<f64>,
    /// The same of the other server; empty without one.
    postgres: Vec<f64>,
    /// Quotients of the rounds.
    ratios: Vec<f64>,
}

/// Runs the rounds and prints the table.
///
/// # Errors
/// When a server refuses what is asked of it, or the flights cannot be read.
pub fn run(arguments: &Sql) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::process("start a runtime"))?;
    let rows = runtime.block_on(rounds(arguments))?;
    print(&rows, arguments.against.is_some());
    arguments.output.write_json(&rows)
}

async fn rounds(arguments: &Sql) -> Result<Vec<Row>, Error> {
    let flights = flights(&arguments.flights)?;
    let mut servers = vec![Server::new(&arguments.url, false)];
    servers.extend(arguments.against.as_deref().map(|url| Server::new(url, true)));
    let mut rows: Vec<Row> = Vec::new();
    for workload in Workload::ALL {
        let name = workload.to_string();
        if arguments.only.as_ref().is_none_or(|only| name.starts_with(only.as_str())) {
            rows.push(Row { workload: name, sakia: Vec::new(), postgres: Vec::new(), ratios: Vec::new() });
        }
    }
    for server in &servers {
        server.define_votes().await?;
    }
    for round in 0..arguments.rounds {
        for workload in Workload::ALL {
            let name = workload.to_string();
            let Some(row) = rows.iter_mut().find(|row| row.workload == name) else { continue };
            for server in &servers {
                let rate = workload.rate(server, arguments.seconds, round, &flights).await?;
                if server.is_postgres { row.postgres.push(rate) } else { row.sakia.push(rate) }
            }
            if let (Some(sakia), Some(postgres)) = (row.sakia.last(), row.postgres.last()) {
                row.ratios.push(sakia / postgres);
            }
        }
    }
    for server in &servers {
        server.remove().await?;
    }
    Ok(rows)
}

/// The lines of the flights as they are copied, without their heading.
fn flights(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(Error::file("open", path))?;
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut text).map_err(Error::file("read", path))?;
    let heading = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| end + 1);
    text.drain(..heading);
    Ok(text)
}

fn print(rows: &[Row], both: bool) {
    println!(
        "operations a second: median (least to most of {} rounds)\n",
        rows.first().map_or(0, |row| row.sakia.len())
    );
    println!(
        "{:<12}{:>34}{:>34}{:>24}",
        "workload",
        "Sakia",
        if both { "PostgreSQL" } else { "" },
        if both { "ratio" } else { "" }
    );
    for row in rows {
        println!(
            "{:<12}{:>34}{:>34}{:>24}",
            row.workload,
            spread(&row.sakia, 0),
            spread(&row.postgres, 0),
            spread(&row.ratios, 2)
        );
    }
}

/// Median, least and most.
fn spread(values: &[f64], digits: usize) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => {
            let median = sorted[sorted.len() / 2];
            format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
        }
        _ => String::new(),
    }
}
