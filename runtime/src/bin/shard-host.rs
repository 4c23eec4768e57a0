//! The program that the tests of this crate start: a shard, a whole server to be killed, or a front to be killed.
//!
//! ```text
//! shard-host shard ...            a shard's process, for the supervisor
//! shard-host serve FOLDER SHARDS  serves a folder that has its plan, until it is killed; says "serving" when it does
//! shard-host serve FOLDER SHARDS POINT  the same, and aborts at that point of the next definition
//! shard-host serve-with-front FOLDER SHARDS  serves, with a front process beside it; says what that says, then "serving"
//! shard-host front-process FOLDER     such a front: says "front" and its process id, and does nothing
//! shard-host define-and-die FOLDER NAME  has a table of that name defined, and is killed before it hears of it
//! shard-host front FOLDER         writes rows with ever new ids to the first table; says each id that is acknowledged
//! shard-host without-io-uring ... any of these, where the kernel refuses io_uring
//! ```

#![deny(unsafe_code)]

use operators::plan::Extension;
use operators::{Datum, PlanBuilder, RowBuilder, Rows, Type, WriteKind, column};
use runtime::front::{Definition, Front};
use runtime::live::{DefinitionPoint, FrontCommand, Options, Supervisor, live_with_supervisor, shard_main};
use std::error::Error;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == "without-io-uring").is_some() {
        refuse_io_uring();
    }
    let command = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    if command == "shard" {
        return shard_main(args);
    }
    let done = match (command.to_str(), &args[..]) {
        (Some("serve"), [folder, shards]) => serve(Path::new(folder), shards, None),
        (Some("serve"), [folder, shards, point]) => serve(Path::new(folder), shards, Some(point)),
        (Some("serve-with-front"), [folder, shards]) => serve_with_front(Path::new(folder), shards),
        (Some("front-process"), [folder]) => front_process(Path::new(folder)),
        (Some("define-and-die"), [folder, name]) => define_and_die(Path::new(folder), name),
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

fn serve(folder: &Path, shards: &OsString, abort_at: Option<&OsString>) -> Result<(), Box<dyn Error>> {
    let mut options = Options::new(folder, shards.to_str().unwrap_or_default().parse()?);
    options.abort_definition_at = match abort_at.and_then(|point| point.to_str()) {
        None => None,
        Some("checked") => Some(DefinitionPoint::Checked),
        Some("filed") => Some(DefinitionPoint::Filed),
        Some("durable") => Some(DefinitionPoint::Durable),
        Some("published") => Some(DefinitionPoint::Published),
        Some(other) => return Err(format!("there is no point {other}").into()),
    };
    let supervisor = Supervisor::start(options)?;
    if !supervisor.wait_serving(Duration::from_secs(60)) {
        return Err("the shards do not serve".into());
    }
    println!("serving");
    // Ends when whoever started this closes the pipe, if it is not killed first.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    supervisor.stop();
    Ok(())
}

fn serve_with_front(folder: &Path, shards: &OsString) -> Result<(), Box<dyn Error>> {
    let mut options = Options::new(folder, shards.to_str().unwrap_or_default().parse()?);
    let args = vec!["front-process".into(), folder.into()];
    options.fronts.push(FrontCommand { program: options.program.clone(), args });
    let supervisor = Supervisor::start(options)?;
    if !supervisor.wait_serving(Duration::from_secs(60)) {
        return Err("the shards do not serve".into());
    }
    loop {
        if let Some(said) = &supervisor.front_status()[0].said {
            println!("{said}");
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("serving");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    supervisor.stop();
    Ok(())
}

fn front_process(folder: &Path) -> Result<(), Box<dyn Error>> {
    if !live_with_supervisor() {
        return Err("there is no supervisor".into());
    }
    let mut front = Front::connect(folder)?;
    println!("front {}", std::process::id());
    loop {
        front.wait(Duration::from_secs(1), &mut Vec::new())?;
    }
}

fn define_and_die(folder: &Path, name: &OsString) -> Result<(), Box<dyn Error>> {
    let mut front = Front::connect(folder)?;
    let mut builder = PlanBuilder::extend(front.plan().clone());
    builder.table(name.to_str().unwrap_or_default(), &[column("id", Type::Int)], &["id"])?;
    let extension = Extension::between(front.plan(), &builder.build()?);
    let definition = Definition { after: front.catalogue_entry(), extension, note: Vec::new() };
    front.define(definition)?;
    std::process::abort()
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

/// From here on the kernel refuses this process to set up an io_uring, as it does in many containers.
#[allow(unsafe_code)]
fn refuse_io_uring() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let number = libc::SYS_io_uring_setup as u32;
    let mut filter = [
        // The number of the system call is the first word that a filter is shown.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is well formed and outlives the call.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(installed, "the filter is installed");
}
