//! Definitions: fronts change the catalogue, and are killed, overtaken or mad while they do.

use crate::database::*;
use operators::plan::Extension;
use operators::{Datum, Plan, PlanBuilder, RowBuilder, Rows, Type, asc, column};
use runtime::ShardId;
use runtime::front::{Definition, Front, FrontError, Outcome, Token};
use runtime::live::{Options, Supervisor};
use runtime::message::Refusal;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The front's plan with one more table and a view of it, both of this name.
fn with_table(plan: &Plan, name: &str) -> Plan {
    let build = || {
        let mut builder = PlanBuilder::extend(plan.clone());
        let table = builder.table(name, &[column("id", Type::Int)], &["id"])?;
        builder.view(name, table, &["id"], &[asc("id")])?;
        builder.build()
    };
    build().expect("the name is new")
}

fn table(front: &Front, name: &str) -> Definition {
    let extension = Extension::between(front.plan(), &with_table(front.plan(), name));
    Definition { after: front.catalogue_entry(), extension, note: name.into() }
}

fn notes(front: &mut Front) -> Vec<String> {
    let notes = front.refresh_catalogue().expect("reads").into_iter();
    notes.map(|note| String::from_utf8(note).expect("is text")).collect()
}

fn is_stale(result: &Result<u64, FrontError>) -> bool {
    matches!(result, Err(FrontError::Refused(error)) if error.reason == Refusal::Stale)
}

#[test]
fn of_two_definitions_at_once_one_is_stale_and_goes_on_top_of_the_other() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut fronts = [0, 1].map(|_| Front::connect(&folder.0).expect("there is a slot"));
    let mut seen = [vec![], vec![]];
    for round in 0..10 {
        let asked = [0, 1].map(|front: usize| {
            let definition = table(&fronts[front], &format!("t{round}_{front}"));
            fronts[front].define(definition).expect("is asked for")
        });
        let mut stale = Vec::new();
        for (index, front) in fronts.iter_mut().enumerate() {
            let mut completions = Vec::new();
            while completions.is_empty() {
                front.wait(DEADLINE, &mut completions).expect("it lives");
            }
            assert_eq!(completions[0].request, asked[index]);
            match &completions[0].outcome {
                Outcome::Defined { entry } => assert_eq!(*entry, front.newest_entry()),
                Outcome::Failed(error) if error.reason == Refusal::Stale => stale.push(index),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(stale.len(), 1, "one of them came first");
        let loser = stale[0];
        let again = table(&fronts[loser], "unused");
        assert!(is_stale(&fronts[loser].define_wait(again)), "it has not looked at the catalogue");
        seen[loser].extend(notes(&mut fronts[loser]));
        let again = table(&fronts[loser], &format!("t{round}_{loser}"));
        fronts[loser].define_wait(again).expect("is on top of the other");
        for (front, seen) in fronts.iter_mut().zip(&mut seen) {
            seen.extend(notes(front));
            assert_eq!(front.catalogue_entry(), 2 * round + 3);
        }
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].len(), 21);
    assert_eq!(fronts[0].plan(), fronts[1].plan());
    supervisor.stop();
    // A longer catalogue is read back, and a plan that is in it already is not added again.
    let options = Options { plan: Some(fronts[0].plan().clone()), ..options(&folder, SHARDS) };
    let supervisor = start(options);
    let mut front = Front::connect(&folder.0).expect("connects");
    assert_eq!(front.plan(), fronts[0].plan());
    assert_eq!(notes(&mut front), seen[0]);
    supervisor.stop();
}

/// Whoever has seen an entry may use it at once, although shards take it up one by one.
#[test]
fn what_is_defined_can_be_used_at_once() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut front = Front::connect(&folder.0).expect("connects");
    for round in 0..50i64 {
        let name = format!("t{round}");
        let definition = table(&front, &name);
        front.define_wait(definition).expect("is defined");
        front.refresh_catalogue().expect("reads");
        let (table, view) = (front.plan().table(&name).expect("is there").id, front.plan().view(&name));
        let view = view.expect("is there").id;
        let mut rows = Rows::new();
        let mut builder = RowBuilder::new();
        (0..20).for_each(|id| rows.push_values(&mut builder, &[Datum::Int(id)]));
        let (counts, _) = front.lookup_wait(view, &rows, 1).expect("the view is there");
        assert_eq!(counts, [0; 20]);
        front.write_wait(table, operators::WriteKind::Insert, &rows).expect("the table is there");
    }
    supervisor.stop();
}

/// A server in a process of its own, which may abort in the middle of a definition.
struct Server(Child);

impl Server {
    fn start(folder: &Folder, abort_at: &str) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shard-host"));
        command.arg("serve").arg(&folder.0).arg(SHARDS.to_string()).arg(abort_at);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("reads");
        assert_eq!(line, "serving\n");
        Server(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where it was to abort.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_killed_during_a_definition_leaves_it_whole_or_absent() {
    let folder = Folder::new();
    start(options(&folder, SHARDS)).stop();
    let mut expected = vec![String::new()];
    for (abort_at, stays) in [("checked", false), ("filed", false), ("durable", true), ("published", true)] {
        let server = Server::start(&folder, abort_at);
        let mut front = Front::connect(&folder.0).expect("connects");
        let name = format!("made_when_{abort_at}");
        let definition = table(&front, &name);
        let result = front.define_wait(definition);
        assert!(matches!(result, Err(FrontError::Gone(_))), "{result:?}");
        drop(server);
        if stays {
            expected.push(name.clone());
        }
        let supervisor =
            Supervisor::start(Options { plan: None, ..options(&folder, SHARDS) }).expect("starts");
        assert!(supervisor.wait_serving(DEADLINE));
        let mut front = Front::connect(&folder.0).expect("connects");
        assert_eq!(notes(&mut front), expected, "killed when {abort_at}");
        assert_eq!(front.plan().table(&name).is_ok(), stays);
        let name = format!("made_after_{abort_at}");
        let definition = table(&front, &name);
        front.define_wait(definition).expect("is defined");
        expected.push(name);
        supervisor.stop();
    }
}

#[test]
fn what_a_front_asked_for_stays_when_it_is_killed() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut front = Front::connect(&folder.0).expect("connects");
    for name in ["a", "b", "c"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shard-host"));
        let status = command.arg("define-and-die").arg(&folder.0).arg(name).status().expect("runs");
        assert!(!status.success(), "it is killed");
        until("its definition is there", || {
            notes(&mut front);
            front.plan().table(name).is_ok()
        });
    }
    supervisor.stop();
}

const STORIES: i64 = 1_000;
const USERS: i64 = 12;

fn with_votes(folder: &Folder) -> Client {
    let mut client = Client::connect(folder);
    client.add_stories(0..STORIES);
    for user in 0..USERS {
        client.vote((0..STORIES).map(|story| (story, user)));
    }
    client
}

/// Has the plan defined and returns the entry.
fn define(front: &mut Front, plan: Plan) -> u64 {
    front.refresh_plan().expect("reads");
    let after = front.catalogue_entry();
    let extension = Extension::between(front.plan(), &plan);
    let entry = front.define_wait(Definition { after, extension, note: Vec::new() }).expect("is defined");
    front.refresh_plan().expect("reads");
    entry
}

/// The votes of all users, by the view that is added later, asked for once.
fn votes_of_users(front: &mut Front) -> Vec<i64> {
    let view = front.plan().view("user_votes").expect("is there").id;
    let (mut keys, mut builder) = (Rows::new(), RowBuilder::new());
    (0..USERS).for_each(|user| keys.push_values(&mut builder, &[Datum::Int(user)]));
    let request = front.lookup_after(&Token::default(), view, &keys, 1).expect("is asked for");
    let mut completions = Vec::new();
    while completions.is_empty() {
        front.wait(DEADLINE, &mut completions).expect("it lives");
    }
    assert_eq!(completions[0].request, request);
    match &completions[0].outcome {
        Outcome::Found { rows, .. } => rows.iter().map(|row| row.int(1)).collect(),
        other => panic!("{other:?}"),
    }
}

/// Shards die while the rows flow; whenever a front is told that the view is built, it has everything.
#[test]
fn a_view_that_is_built_has_all_rows_whoever_dies() {
    let folder = Folder::new();
    let supervisor = start(options(&folder, SHARDS));
    let mut client = with_votes(&folder);
    for round in 0..8u16 {
        let plan = with_user_votes(client.front.plan());
        let entry = define(&mut client.front, plan);
        let view = client.front.plan().view("user_votes").expect("is there").id;
        let mut kills = 0;
        until("the view is built", || {
            let progress = client.front.build_progress(view).expect("it is there");
            assert!(progress.done <= progress.all && progress.all > 0, "{progress:?}");
            let is_built = client.front.is_built(entry).expect("nobody is in quarantine");
            if !is_built && kills < 2 {
                kills += u32::from(supervisor.kill(ShardId((round + kills as u16) % SHARDS), libc::SIGKILL));
            }
            is_built
        });
        let progress = client.front.build_progress(view).expect("it is there");
        assert_eq!(progress.done, progress.all);
        assert_eq!(votes_of_users(&mut client.front), [STORIES; USERS as usize], "round {round}");
        // Another front comes to the same end, and a shard that dies now does not lose what has been seen.
        let mut other = Front::connect(&folder.0).expect("connects");
        until("another front sees it too", || other.is_built(entry).expect("nobody is in quarantine"));
        supervisor.kill(ShardId(round % SHARDS), libc::SIGKILL);
        assert_eq!(votes_of_users(&mut other), [STORIES; USERS as usize], "round {round}");
        let plan = without_user_votes(client.front.plan());
        let entry = define(&mut client.front, plan);
        until("it is dropped", || client.front.is_built(entry).expect("nobody is in quarantine"));
    }
    supervisor.stop();
}

#[test]
fn a_view_is_dropped_while_it_is_being_filled() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    // One shard is stopped for as long as the test wants.
    options.stall_timeout = DEADLINE;
    let supervisor = start(options);
    let mut client = with_votes(&folder);
    let stopped = ShardId(1);
    assert!(supervisor.kill(stopped, libc::SIGSTOP));
    let plan = with_user_votes(client.front.plan());
    let made = define(&mut client.front, plan);
    let view = client.front.plan().view("user_votes").expect("is there").id;
    until("the other shard has let its rows through", || {
        let progress = client.front.build_progress(view).expect("it is there");
        progress.done * 2 == progress.all
    });
    assert!(!client.front.is_built(made).expect("nobody is in quarantine"));
    let plan = without_user_votes(client.front.plan());
    let dropped = define(&mut client.front, plan);
    assert!(!client.front.is_built(dropped).expect("nobody is in quarantine"), "one shard is stopped");
    assert!(supervisor.kill(stopped, libc::SIGCONT));
    for entry in [dropped, made] {
        until("all have dropped it", || client.front.is_built(entry).expect("nobody is in quarantine"));
    }
    assert_eq!(client.front.build_progress(view).expect("its number stays").all, 0);
    let plan = with_user_votes(client.front.plan());
    let again = define(&mut client.front, plan);
    until("it is filled again", || client.front.is_built(again).expect("nobody is in quarantine"));
    assert_eq!(votes_of_users(&mut client.front), [STORIES; USERS as usize]);
    supervisor.stop();
}
