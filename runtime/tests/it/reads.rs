//! Reads that show what has been written, and scans, with real processes that die meanwhile.

use crate::database::*;
use operators::accumulator::Aggregate;
use operators::{Datum, Plan, PlanBuilder, RowBuilder, Rows, ScanPosition, Type, ViewId, WriteKind, column};
use runtime::ShardId;
use runtime::front::{Completion, Front, Outcome, RequestId, Token};
use runtime::live::Supervisor;
use runtime::message::{Refusal, SCAN_BYTES_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// events(id, grp, item, text), and views with none to three exchanges between them and the table.
fn events_plan() -> Plan {
    let build = || {
        let mut p = PlanBuilder::new();
        let int = |name: &str| column(name, Type::Int);
        let columns = [int("id"), int("grp"), int("item"), column("text", Type::Text)];
        let events = p.table("events", &columns, &["id"])?;
        p.view("events", events, &["id"], &[])?;
        let counts = p.aggregate(events, &["grp"], &[("n", Aggregate::Count)])?;
        p.view("counts", counts, &["grp"], &[])?;
        let pairs = p.project(events, &["grp", "item"])?;
        let pairs = p.distinct(pairs)?;
        let items = p.aggregate(pairs, &["item"], &[("grps", Aggregate::Count)])?;
        p.view("items", items, &["item"], &[])?;
        let total = p.aggregate(items, &[], &[("pairs", Aggregate::Sum("grps".into()))])?;
        p.view("total", total, &[], &[])?;
        p.build()
    };
    build().expect("the plan is right")
}

/// The same views once more, over the rows that are there.
fn later_plan() -> Plan {
    let build = || {
        let mut p = PlanBuilder::extend(events_plan());
        let events = p.table_stream("events")?;
        let counts = p.aggregate(events, &["grp"], &[("n", Aggregate::Count)])?;
        p.view("later counts", counts, &["grp"], &[])?;
        p.build()
    };
    build().expect("the plan is right")
}

/// A session: a front, what it has written, and its token. Its groups and items are its own.
struct Session {
    front: Front,
    number: i64,
    random: fastrand::Rng,
    builder: RowBuilder,
    token: Token,
    events: BTreeMap<i64, i64>,
    pairs: BTreeSet<(i64, i64)>,
    next: i64,
}

impl Session {
    fn connect(folder: &Folder, number: i64) -> Session {
        Session {
            front: Front::connect(&folder.0).expect("connects"),
            number,
            random: fastrand::Rng::with_seed(number as u64),
            builder: RowBuilder::new(),
            token: Token::default(),
            events: BTreeMap::new(),
            pairs: BTreeSet::new(),
            next: number << 32,
        }
    }

    fn view(&self, name: &str) -> ViewId {
        self.front.plan().view(name).expect("it is there").id
    }

    /// Waits for the completions of these requests, and no others come.
    fn outcomes(&mut self, mut requests: Vec<RequestId>) -> Vec<Completion> {
        let (mut found, mut completions) = (Vec::new(), Vec::new());
        until("all requests are answered", || {
            self.front.wait(Duration::from_secs(1), &mut completions).expect("no error reaches a client");
            for completion in completions.drain(..) {
                let index = requests.iter().position(|request| *request == completion.request);
                requests.swap_remove(index.expect("it was asked"));
                found.push(completion);
            }
            requests.is_empty()
        });
        found.sort_by_key(|completion| completion.request);
        found
    }

    /// Writes some events and waits until they are acknowledged.
    fn write(&mut self, count: i64) {
        let mut rows = Rows::new();
        for _ in 0..count {
            let (grp, item) =
                (self.number * 100 + self.random.i64(0..6), self.number * 100 + self.random.i64(0..9));
            self.next += 1;
            let row = [Datum::Int(self.next), Datum::Int(grp), Datum::Int(item), Datum::Text("an event")];
            rows.push_values(&mut self.builder, &row);
            *self.events.entry(grp).or_default() += 1;
            self.pairs.insert((grp, item));
        }
        let table = self.front.plan().table("events").expect("it is there").id;
        let request = self.front.write(table, WriteKind::Insert, &rows).expect("there is room");
        let written = self.outcomes(vec![request]).remove(0);
        assert!(
            matches!(written.outcome, Outcome::Written { changed } if i64::from(changed) == count),
            "{written:?}"
        );
        assert!(!written.at.is_empty());
        self.token.merge(&written.at);
    }

    fn look_up(&mut self, view: &str, key: &[Datum<'_>]) -> RequestId {
        let mut keys = Rows::new();
        keys.push_values(&mut self.builder, key);
        let view = self.view(view);
        self.front.lookup_after(&self.token, view, &keys, 10).expect("there is room")
    }

    /// Reads in all views at once, and finds what it has written.
    fn read(&mut self, later: bool) {
        let grp = self.number * 100 + self.random.i64(0..6);
        let item = self.number * 100 + self.random.i64(0..9);
        let mut requests = vec![
            self.look_up("counts", &[Datum::Int(grp)]),
            self.look_up("items", &[Datum::Int(item)]),
            self.look_up("total", &[]),
            self.look_up("events", &[Datum::Int(self.next)]),
        ];
        let events = self.events.get(&grp).copied().unwrap_or(0);
        let pairs = self.pairs.iter().filter(|(_, of)| *of == item).count() as i64;
        let mut least = vec![(1, events), (1, pairs), (0, self.pairs.len() as i64), (0, self.next)];
        if later {
            requests.push(self.look_up("later counts", &[Datum::Int(grp)]));
            least.push((1, events));
        }
        for (completion, (column, least)) in self.outcomes(requests).into_iter().zip(least) {
            let Outcome::Found { rows, .. } = &completion.outcome else { panic!("{completion:?}") };
            let found = rows.iter().next().map_or(0, |row| row.int(column));
            assert!(found >= least, "{found} instead of {least} in column {column}, after {}", self.token);
        }
    }
}

/// Kills shards until told to stop. Returns how many.
fn kill_until(supervisor: &Supervisor, shards: u16, stop: &AtomicBool) -> usize {
    let mut random = fastrand::Rng::with_seed(11);
    let mut kills = 0;
    while !stop.load(Ordering::Relaxed) {
        let shard = ShardId(random.u16(0..shards));
        kills += usize::from(supervisor.kill(shard, libc::SIGKILL));
        if random.u32(0..3) > 0 {
            until("it recovers", || supervisor.recoveries().len() >= kills || stop.load(Ordering::Relaxed));
        }
        let pause = Duration::from_millis(random.u64(0..30));
        until("some time is over", || {
            std::thread::park_timeout(pause);
            true
        });
    }
    kills
}

fn sessions_read_what_they_write(shards: u16, rounds: u32, with_kills: bool) {
    let folder = Folder::new();
    let mut options = options(&folder, shards);
    options.plan = Some(events_plan());
    let supervisor = start(options);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killer = with_kills.then(|| scope.spawn(|| kill_until(&supervisor, shards, &stop)));
        let sessions: Vec<_> = (1..=2)
            .map(|number| {
                let folder = &folder;
                scope.spawn(move || {
                    let mut session = Session::connect(folder, number);
                    for _ in 0..rounds {
                        let count = session.random.i64(1..4);
                        session.write(count);
                        session.read(false);
                    }
                })
            })
            .collect();
        let ends: Vec<_> = sessions.into_iter().map(|session| session.join()).collect();
        stop.store(true, Ordering::Relaxed);
        let kills = killer.map(|killer| killer.join().expect("it kills"));
        ends.into_iter().for_each(|end| end.expect("no session misses anything"));
        assert!(kills.is_none_or(|kills| kills > 0));
    });
    supervisor.stop();
}

#[test]
fn a_session_reads_what_it_has_written() {
    sessions_read_what_they_write(3, 500, false);
}

#[test]
fn a_session_reads_what_it_has_written_while_shards_die() {
    sessions_read_what_they_write(2, 1500, true);
    sessions_read_what_they_write(4, 500, true);
}

#[test]
fn tokens_go_from_session_to_session_and_outlive_the_server() {
    let folder = Folder::new();
    let mut first = options(&folder, SHARDS);
    first.plan = Some(events_plan());
    let supervisor = start(first.clone());
    let mut writer = Session::connect(&folder, 1);
    let mut reader = Session::connect(&folder, 2);
    for _ in 0..100 {
        writer.write(2);
        reader.token = writer.token.to_string().parse().expect("it was printed");
        (reader.number, reader.events, reader.pairs) = (1, writer.events.clone(), writer.pairs.clone());
        reader.next = writer.next;
        reader.read(false);
    }
    supervisor.stop();
    let supervisor = start(first);
    let again = Session::connect(&folder, 2);
    reader.front = again.front;
    reader.read(false);
    // Writes that have never been, and shards that are not there.
    reader.token = "0:123456789".parse().expect("a token");
    let request = reader.look_up("counts", &[Datum::Int(1)]);
    // Where no row comes from the shard that the token names, nothing is waited for; this view takes rows from all.
    let completion = reader.outcomes(vec![request]).remove(0);
    assert!(
        matches!(&completion.outcome, Outcome::Failed(error) if error.reason == Refusal::Invalid),
        "{completion:?}"
    );
    let foreign = "9:1".parse().expect("a token");
    let view = reader.view("total");
    assert!(reader.front.scan_after(&foreign, view, ShardId(0), ScanPosition::START).is_err());
    supervisor.stop();
}

#[test]
fn a_view_is_read_only_when_it_is_whole() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    options.plan = Some(events_plan());
    let supervisor = start(options.clone());
    let mut session = Session::connect(&folder, 1);
    for _ in 0..50 {
        session.write(100);
    }
    supervisor.stop();
    options.plan = Some(later_plan());
    let supervisor = start(options);
    let mut again = Session::connect(&folder, 1);
    (again.events, again.pairs, again.next) = (session.events.clone(), session.pairs.clone(), session.next);
    let view = again.view("later counts");
    until("the view is whole", || again.front.is_whole(view).expect("no shard is in quarantine"));
    again.read(true);
    for kill in 0..6 {
        again.write(1);
        assert!(supervisor.kill(ShardId(kill % SHARDS), libc::SIGKILL));
        again.read(true);
        until("it recovers", || supervisor.recoveries().len() > usize::from(kill));
    }
    supervisor.stop();
}

#[test]
fn cancelled_requests_have_no_completion() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    options.plan = Some(events_plan());
    let supervisor = start(options);
    let mut session = Session::connect(&folder, 1);
    session.write(3);
    for _ in 0..50 {
        session.write(1);
        let mut requests: Vec<RequestId> = (0..6).map(|_| session.look_up("total", &[])).collect();
        let item = Datum::Int(session.number * 100);
        requests.push(session.look_up("items", &[item]));
        let (view, mut keys) = (session.view("counts"), Rows::new());
        (0..9).for_each(|grp| keys.push_values(&mut session.builder, &[Datum::Int(grp)]));
        requests.push(session.front.lookup(view, &keys, 9).expect("there is room"));
        for _ in 0..4 {
            let index = session.random.usize(0..requests.len());
            session.front.cancel(requests.swap_remove(index));
        }
        assert_eq!(session.outcomes(requests).len(), 4);
    }
    supervisor.stop();
}

/// Scans a view on all shards, with no more than a few pieces under way.
fn scan(session: &mut Session, view: &str) -> (Vec<Vec<u8>>, usize) {
    let view = session.view(view);
    let (mut rows, mut pieces) = (Vec::new(), 0);
    for shard in (0..session.front.shards()).map(ShardId) {
        let mut from = Some(ScanPosition::START);
        while let Some(position) = from {
            let bytes = position.to_bytes();
            let position = ScanPosition::from_bytes(&bytes).expect("it was one");
            let request =
                session.front.scan_after(&session.token, view, shard, position).expect("there is room");
            let completion = session.outcomes(vec![request]).remove(0);
            let Outcome::Scanned { rows: piece, next } = completion.outcome else { panic!("{completion:?}") };
            assert!(piece.rows.len() <= SCAN_BYTES_MAX);
            rows.extend(piece.iter().map(|row| row.bytes_all().to_vec()));
            (from, pieces) = (next, pieces + 1);
        }
    }
    (rows, pieces)
}

#[test]
fn scans_find_all_that_stays_while_others_write_and_shards_die() {
    let folder = Folder::new();
    let mut options = options(&folder, SHARDS);
    options.plan = Some(events_plan());
    let supervisor = start(options);
    let mut session = Session::connect(&folder, 1);
    for _ in 0..60 {
        session.write(500);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_until(&supervisor, SHARDS, &stop));
        let writer = scope.spawn(|| {
            let mut writer = Session::connect(&folder, 2);
            while !stop.load(Ordering::Relaxed) {
                writer.write(50);
            }
        });
        let scans = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..15 {
                let (rows, pieces) = scan(&mut session, "events");
                assert!(pieces > 6, "{pieces} pieces");
                let all = rows.len();
                let rows: BTreeSet<Vec<u8>> = rows.into_iter().collect();
                assert_eq!(rows.len(), all, "a row comes once");
                let mine = rows.iter().filter(|row| operators::Row::at(row).int(0) >> 32 == 1).count();
                assert_eq!(mine, 30_000, "what was there before is there");
                let (counts, _) = scan(&mut session, "counts");
                let rows = counts.iter().map(|row| operators::Row::at(row));
                let mine: BTreeMap<i64, i64> =
                    rows.filter(|row| row.int(0) / 100 == 1).map(|row| (row.int(0), row.int(1))).collect();
                assert_eq!(mine, session.events);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        assert!(killer.join().expect("it kills") > 0);
        writer.join().expect("it writes");
        scans.expect("no scan fails");
    });
    supervisor.stop();
}
