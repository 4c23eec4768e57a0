//! Scans in pieces while the view changes: what is there throughout comes exactly once.

use operators::accumulator::Aggregate;
use operators::{
    Dataflow, Datum, LookupError, Outputs, Plan, PlanBuilder, PlanError, RowBuilder, Rows, ScanPosition,
    Type, ViewId, WriteKind, column,
};
use std::collections::BTreeMap;

/// One table, and views of it that are kept in every way there is: in the table, in groups, under keys with one row, with some and
/// with all of the rows, and with rows of large weights.
fn plan() -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::new();
    let columns = [column("id", Type::Int), column("class", Type::Int), column("text", Type::Text)];
    let things = p.table("things", &columns, &["id"])?;
    p.view("by id", things, &["id"], &[])?;
    p.view("by class", things, &["class"], &[])?;
    p.view("all", things, &[], &[])?;
    p.view("by text", things, &["text"], &[])?;
    let counts = p.aggregate(things, &["class"], &[("n", Aggregate::Count)])?;
    p.view("counts", counts, &["class"], &[])?;
    let classes = p.project(things, &["class"])?;
    p.view("classes", classes, &["class"], &[])?;
    p.build()
}

struct Harness {
    plan: Plan,
    dataflow: Dataflow,
    outputs: Outputs,
    random: fastrand::Rng,
    classes: i64,
}

impl Harness {
    fn new(seed: u64, classes: i64) -> Harness {
        let plan = plan().expect("sound");
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&plan).expect("sound");
        let random = fastrand::Rng::with_seed(seed);
        Harness { plan, dataflow, outputs: Outputs::new(1), random, classes }
    }

    fn write(&mut self, kind: WriteKind, ids: impl Iterator<Item = i64>) {
        let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
        for id in ids {
            let text = "x".repeat(self.random.usize(0..60));
            let class = self.random.i64(0..self.classes);
            let row = [Datum::Int(id), Datum::Int(class), Datum::Text(&text)];
            rows.push_values(&mut builder, if kind == WriteKind::Delete { &row[..1] } else { &row });
        }
        self.dataflow.write(self.plan.tables[0].id, kind, &rows.rows).expect("sound");
        self.dataflow.finish(&mut self.outputs);
    }

    /// How often each row is there.
    fn contents(&self, view: ViewId) -> BTreeMap<Vec<u8>, i64> {
        let mut contents = BTreeMap::new();
        let rows = self.dataflow.scan(view).expect("it is there");
        rows.iter().for_each(|row| *contents.entry(row.bytes_all().to_vec()).or_default() += 1);
        contents
    }

    /// Scans a view in pieces, with `between` done after each; checks that every row comes as often as it was there at
    /// some time.
    fn check(&mut self, view: &str, bytes_max: usize, mut between: impl FnMut(&mut Harness)) -> usize {
        let view = self.plan.view(view).expect("it is there").id;
        let mut least = self.contents(view);
        let mut most = least.clone();
        let mut found: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        let (mut from, mut pieces) = (ScanPosition::START, 0);
        loop {
            let mut rows = Rows::new();
            let next = self.dataflow.scan_from(view, from, bytes_max, &mut rows).expect("it is there");
            assert!(rows.rows.len() <= bytes_max || rows.count == 1, "{} bytes", rows.rows.len());
            rows.iter().for_each(|row| *found.entry(row.bytes_all().to_vec()).or_default() += 1);
            pieces += 1;
            let Some(next) = next else { break };
            assert!(next > from, "a scan goes on");
            from = ScanPosition::from_bytes(&next.to_bytes()).expect("it was one");
            between(self);
            let now = self.contents(view);
            least
                .iter_mut()
                .for_each(|(row, count)| *count = (*count).min(now.get(row).copied().unwrap_or(0)));
            for (row, count) in now {
                let most = most.entry(row).or_default();
                *most = count.max(*most);
            }
        }
        for (row, count) in &least {
            assert!(found.get(row).copied().unwrap_or(0) >= *count, "{row:?} is missing");
        }
        for (row, count) in &found {
            assert!(most.get(row).copied().unwrap_or(0) >= *count, "{row:?} comes too often");
        }
        pieces
    }
}

#[test]
fn all_rows_come_while_nothing_changes() {
    for (seed, classes) in [(1, 1), (2, 3), (3, 200)] {
        let mut h = Harness::new(seed, classes);
        let views: Vec<String> = h.plan.views.iter().map(|view| view.name.clone()).collect();
        for view in &views {
            assert_eq!(h.check(view, 100, |_| ()), 1, "an empty view is one piece");
        }
        h.write(WriteKind::Insert, 0..1000);
        for view in &views {
            for bytes_max in [1, 1000, 4000, 1 << 20] {
                // A copy at a time is too slow for the largest.
                if bytes_max > 1 || view == "counts" {
                    h.check(view, bytes_max, |_| ());
                }
            }
        }
    }
}

#[test]
fn rows_that_stay_come_once_while_others_come_and_go() {
    for seed in 0..12 {
        let classes = [1, 2, 7, 100][seed as usize % 4];
        let mut h = Harness::new(seed, classes);
        h.write(WriteKind::Insert, 0..2000);
        for view in ["by id", "by class", "all", "by text", "counts", "classes"] {
            let bytes_max = h.random.usize(200..30_000);
            h.check(view, bytes_max, |h| {
                let changes = h.random.i64(0..300);
                let end = h.random.i64(1..6000);
                let kind = [WriteKind::Upsert, WriteKind::Delete][h.random.usize(0..2)];
                h.write(kind, (end..end + changes).map(|id| id * 7 % 8000));
            });
        }
    }
}

#[test]
fn one_key_with_very_many_rows_is_read_in_few_steps() {
    let mut h = Harness::new(5, 1);
    h.write(WriteKind::Insert, 0..60_000);
    let began = std::time::Instant::now();
    let pieces = {
        let view = h.plan.view("all").expect("it is there").id;
        let (mut from, mut count, mut pieces) = (ScanPosition::START, 0, 0);
        loop {
            let mut rows = Rows::new();
            let next = h.dataflow.scan_from(view, from, 4 << 10, &mut rows).expect("it is there");
            (count, pieces) = (count + rows.count, pieces + 1);
            let Some(next) = next else { break };
            from = next;
        }
        assert_eq!(count, 60_000);
        pieces
    };
    // Going over all rows for each of a thousand pieces would be 60 million steps.
    assert!(pieces > 500);
    assert!(began.elapsed().as_secs() < 20, "{pieces} pieces took {:?}", began.elapsed());
}

#[test]
fn any_position_is_safe() {
    let mut h = Harness::new(9, 3);
    h.write(WriteKind::Insert, 0..500);
    for _ in 0..2000 {
        let mut bytes = [0; ScanPosition::BYTES];
        bytes.iter_mut().for_each(|byte| *byte = [0, 255, h.random.u8(..)][h.random.usize(0..3)]);
        let from = ScanPosition::from_bytes(&bytes).expect("it has the length of one");
        let view = h.plan.views[h.random.usize(0..h.plan.views.len())].id;
        let mut rows = Rows::new();
        let next = h.dataflow.scan_from(view, from, 3000, &mut rows).expect("it is there");
        assert!(next.is_none_or(|next| next > from));
    }
    assert_eq!(ScanPosition::from_bytes(&[0; 19]), None);
    let refused = h.dataflow.scan_from(ViewId(99), ScanPosition::START, 10, &mut Rows::new());
    assert_eq!(refused, Err(LookupError::UnknownView(99)));
}
