//! Front processes that the supervisor starts, and what fronts can say about shards.

use crate::database::*;
use runtime::ShardId;
use runtime::front::Front;
use runtime::live::control::Phase;
use runtime::live::{FrontCommand, Options, Supervisor};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn with_front(folder: &Folder) -> Options {
    let args = vec!["front-process".into(), folder.0.clone().into()];
    let front = FrontCommand { program: PathBuf::from(env!("CARGO_BIN_EXE_shard-host")), args };
    Options { fronts: vec![front], ..options(folder, SHARDS) }
}

/// Whether a process is there and not just waiting to be buried.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("runs").success());
}

/// The present front process, once it has said that it is there.
fn pid_of_front(supervisor: &Supervisor) -> Option<u32> {
    let status = &supervisor.front_status()[0];
    let pid = status.pid?;
    (status.said.as_ref()? == &format!("front {pid}")).then_some(pid)
}

#[test]
fn front_processes_are_started_again_and_end_with_the_server() {
    let folder = Folder::new();
    let supervisor = start(with_front(&folder));
    let mut pids = Vec::new();
    for round in 0..3 {
        until("the front is there", || pid_of_front(&supervisor).is_some_and(|pid| !pids.contains(&pid)));
        let pid = pid_of_front(&supervisor).expect("just seen");
        assert_eq!(supervisor.front_status()[0].starts, round + 1);
        pids.push(pid);
        kill(pid);
    }
    until("it is there again", || pid_of_front(&supervisor).is_some_and(|pid| !pids.contains(&pid)));
    let last = pid_of_front(&supervisor).expect("just seen");
    assert_eq!(supervisor.front_status()[0].last_end.as_deref(), Some("SIGKILL"));
    assert!(is_alive(last));
    supervisor.stop();
    assert!(!is_alive(last));
}

#[test]
fn a_front_whose_program_is_not_there_hurts_nobody() {
    let folder = Folder::new();
    let front = FrontCommand { program: "/nowhere/sakia".into(), args: Vec::new() };
    let supervisor = start(Options { fronts: vec![front], ..options(&folder, SHARDS) });
    until("it is said", || supervisor.front_status()[0].last_end.is_some());
    let why = supervisor.front_status()[0].last_end.clone().expect("just seen");
    assert!(why.contains("/nowhere/sakia cannot be started"), "{why}");
    let mut client = Client::connect(&folder);
    client.add_stories([1]);
    client.vote([(1, 1)]);
    client.expect_votes(&[(1, 1)]);
    supervisor.stop();
}

#[test]
fn front_processes_die_with_a_server_that_is_killed() {
    let folder = Folder::new();
    start(options(&folder, SHARDS)).stop();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shard-host"));
    command.arg("serve-with-front").arg(&folder.0).arg(SHARDS.to_string());
    let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let mut line = || lines.next().expect("says something").expect("reads");
    let pid: u32 = line().strip_prefix("front ").expect("its front").parse().expect("a number");
    assert_eq!(line(), "serving");
    assert!(is_alive(pid));
    server.kill().expect("it is there");
    server.wait().expect("it is ours");
    until("its front is gone too", || !is_alive(pid));
}

#[test]
fn fronts_know_what_shards_do() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = Client::connect(&folder);
    client.add_stories(0..100);
    for story in 0..100 {
        client.vote([(story, 1)]);
    }
    // Shards tell what they have counted after they have replied.
    let rows_written = || client.front.shard_reports().iter().map(|shard| shard.rows_written).sum::<u64>();
    until("all rows are counted", || rows_written() == 200);
    let reports = client.front.shard_reports();
    assert_eq!(reports.len(), usize::from(SHARDS));
    for (report, status) in reports.iter().zip(supervisor.status()) {
        assert_eq!((report.shard, report.pid, report.phase), (status.shard, status.pid, Phase::Running));
        assert_eq!((report.incarnation, report.deaths), (1, 0));
        assert!(report.log_bytes > 0 && report.durable_record > 0, "{report:?}");
        assert!(report.last_recovery.is_none());
    }
    let victim = ShardId(1);
    for kills in 1..=2 {
        until("it can be killed", || supervisor.kill(victim, libc::SIGKILL));
        until("it has recovered", || supervisor.recoveries().len() == kills);
    }
    let front = Front::connect(&folder.0).expect("connects");
    let report = front.shard_reports()[1].clone();
    assert_eq!((report.deaths, report.incarnation, report.pid), (2, 3, supervisor.pid(victim)));
    let (told, known) = (report.last_recovery.expect("it has had one"), supervisor.recoveries()[1].clone());
    assert_eq!((told.signal, told.died_at_ns), (libc::SIGKILL, known.died_at_ns));
    assert!(0.0 <= told.detected_ms && told.detected_ms <= told.restarted_ms, "{told:?}");
    assert!(told.restarted_ms <= told.replayed_ms && told.replayed_ms <= told.steered_ms, "{told:?}");
    assert!((told.caught_up_ms - known.caught_up_ms).abs() < 0.001, "{told:?} {known:?}");
    supervisor.stop();
}
