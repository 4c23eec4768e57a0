//! The program that the tests of this crate start: a shard, a whole server to be killed, or a front to be killed.
//!
//! ```text
//! shard-host shard ...            a shard's process, for the supervisor
//! shard-host serve FOLDER SHARDS  serves a folder that has its plan, until it is killed; says "serving" when it does
//! shard-host front FOLDER         writes rows with ever new ids to the first table; says each id that is acknowledged
//! ```

use operators::{Datum, RowBuilder, Rows, WriteKind};
use runtime::front::Front;
use runtime::live::{Options, Supervisor, shard_main};
use std::error::Error;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if command == "shard" {
        return shard_main(args);
    }
    let done = match (command.to_str(), &args[..]) {
        (Some("serve"), [folder, shards]) => serve(Path::new(folder), shards),
        (Some("front"), [folder]) => write_for_ever(Path::new(folder)),
        _ => Err("see the top of this program's source".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shard-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &Path, shards: &OsString) -> Result<(), Box<dyn Error>> {
    let shards = shards.to_str().unwrap_or_default().parse()?;
    let supervisor = Supervisor::start(Options::new(folder, shards))?;
    if !supervisor.wait_serving(Duration::from_secs(60)) {
        return Err("the shards do not serve".into());
    }
    println!("serving");
    // Ends when whoever started this closes the pipe, if it is not killed first.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    supervisor.stop();
    Ok(())
}

fn write_for_ever(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut front = Front::connect(folder)?;
    let table = front.plan().tables[0].id;
    let (mut builder, mut rows) = (RowBuilder::new(), Rows::new());
    let mut out = std::io::stdout().lock();
    let first = i64::from(std::process::id()) * 1_000_000;
    for id in first.. {
        rows.clear();
        rows.push_values(&mut builder, &[Datum::Int(id), Datum::Text("written by a front that is killed")]);
        front.write_wait(table, WriteKind::Insert, &rows)?;
        writeln!(out, "{id}")?;
        out.flush()?;
    }
    Ok(())
}
