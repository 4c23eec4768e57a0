//! Definitions: fronts change the catalogue, and are killed, overtaken or mad while they do.

use crate::database::*;
use operators::{Plan, PlanBuilder, Type, asc, column};
use runtime::front::{Definition, Front, FrontError};
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
    let plan = with_table(front.plan(), name);
    Definition { after: front.catalogue_entry(), plan, note: name.into() }
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
                runtime::front::Outcome::Defined { entry } => assert_eq!(*entry, front.newest_entry()),
                runtime::front::Outcome::Failed(error) if error.reason == Refusal::Stale => stale.push(index),
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
        let mut rows = operators::Rows::new();
        let mut builder = operators::RowBuilder::new();
        (0..20).for_each(|id| rows.push_values(&mut builder, &[operators::Datum::Int(id)]));
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
