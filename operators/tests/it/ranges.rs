//! Ranges of ordered views, read in pieces: while others write, through gates, and over several prefixes.

use operators::plan::ViewSpec;
use operators::{
    Dataflow, Datum, Edge, LookupError, Outputs, Plan, PlanBuilder, PlanError, Range, RangePosition, Row,
    RowBuilder, Rows, Type, ViewId, WriteKind, column,
};
use std::collections::{BTreeMap, BTreeSet};

/// A range of these prefixes without edges and limits.
fn whole(prefixes: Rows) -> Range {
    Range { prefixes, limit: u32::MAX, piece: u32::MAX, ..Range::default() }
}

/// The values of some columns of a row.
fn part(row: Row<'_>, view: &ViewSpec, columns: &[u16]) -> Vec<u8> {
    let mut builder = RowBuilder::new();
    builder.start(columns.len());
    for at in columns.iter().map(|at| usize::from(*at)) {
        builder.push(row.datum(at, view.columns[at].ty));
    }
    builder.finish().bytes_all().to_vec()
}

/// All rows of an ordered view, read by the prefixes that a scan finds.
pub fn all(dataflow: &Dataflow, view: &ViewSpec) -> Vec<Vec<u8>> {
    let rows = dataflow.scan(view.id).expect("the view is there");
    let found: BTreeSet<Vec<u8>> = rows.iter().map(|row| part(row, view, view.prefix())).collect();
    let mut prefixes = Rows::new();
    found.iter().for_each(|prefix| prefixes.push(Row::at(prefix)));
    if dataflow.failing(view.id).is_some() {
        return rows.iter().map(|row| row.bytes_all().to_vec()).collect();
    }
    let (rows, counts) = read(dataflow, view.id, whole(prefixes), 500, |_| ());
    assert_eq!(counts.len(), found.len());
    rows
}

/// Reads a range in pieces, with `between` done after each. Returns its rows, and how many there are of each prefix.
fn read(
    dataflow: &Dataflow,
    view: ViewId,
    mut range: Range,
    bytes_max: usize,
    mut between: impl FnMut(&[Vec<u8>]),
) -> (Vec<Vec<u8>>, Vec<u32>) {
    let (mut found, mut counts): (Vec<Vec<u8>>, Vec<u32>) = (Vec::new(), Vec::new());
    let (mut from, mut goes_on): (Option<RangePosition>, bool) = (None, false);
    while !range.prefixes.is_empty() {
        let mut rows = Rows::new();
        let piece = dataflow.range(view, range.as_ref(), from, bytes_max, &mut rows).expect("it is ordered");
        assert!(rows.rows.len() <= bytes_max || rows.count == 1, "{} bytes", rows.rows.len());
        assert!(rows.count <= range.piece.max(1));
        assert_eq!(piece.counts.iter().sum::<u32>(), rows.count);
        found.extend(rows.iter().map(|row| row.bytes_all().to_vec()));
        for (at, count) in piece.counts.iter().enumerate() {
            match counts.last_mut() {
                Some(last) if at == 0 && goes_on => *last += count,
                _ => counts.push(*count),
            }
        }
        goes_on = piece.next.is_some();
        let mut rest = Rows::new();
        let done = piece.counts.len() - usize::from(goes_on);
        range.prefixes.iter().skip(done).for_each(|prefix| rest.push(prefix));
        (range.prefixes, from) = (rest, piece.next);
        between(&found);
    }
    (found, counts)
}

fn ints(values: &[&[i64]]) -> Rows {
    let (mut rows, mut builder) = (Rows::new(), RowBuilder::new());
    for row in values {
        let row: Vec<Datum<'_>> = row.iter().map(|value| Datum::Int(*value)).collect();
        rows.push_values(&mut builder, &row);
    }
    rows
}

fn edge(value: i64, included: bool) -> Edge {
    Edge { value: ints(&[&[value]]), included }
}

fn plan() -> Result<Plan, PlanError> {
    let mut p = PlanBuilder::new();
    let columns = [column("id", Type::Int), column("class", Type::Int), column("at", Type::Int)];
    let things = p.table("things", &columns, &["id"])?;
    p.ordered_view("by class", things, &["class", "at"], &[])?;
    p.ordered_view("by time", things, &["at"], &[])?;
    p.ordered_view("by id", things, &["id"], &[])?;
    p.view("hashed", things, &["class", "at"], &[])?;
    p.build()
}

struct Harness {
    plan: Plan,
    dataflow: Dataflow,
    outputs: Outputs,
}

impl Harness {
    fn new() -> Harness {
        let plan = plan().expect("sound");
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&plan).expect("sound");
        Harness { plan, dataflow, outputs: Outputs::new(1) }
    }

    fn write(&mut self, kind: WriteKind, rows: &Rows) {
        self.dataflow.write(self.plan.tables[0].id, kind, &rows.rows).expect("sound");
        self.dataflow.finish(&mut self.outputs);
    }

    fn view(&self, name: &str) -> ViewId {
        self.plan.view(name).expect("it is there").id
    }

    /// The numbers of the rows in a range, in its order.
    fn ids(&self, view: &str, range: Range, bytes_max: usize) -> Vec<i64> {
        let (rows, _) = read(&self.dataflow, self.view(view), range, bytes_max, |_| ());
        rows.iter().map(|row| Row::at(row).int(0)).collect()
    }
}

#[test]
fn prefixes_edges_and_limits() {
    let mut h = Harness::new();
    let rows: Vec<[i64; 3]> = (0..100).map(|id| [id, id % 4, id / 4]).collect();
    let rows: Vec<&[i64]> = rows.iter().map(|row| row.as_slice()).collect();
    h.write(WriteKind::Insert, &ints(&rows));
    let of_two =
        Range { lower: edge(3, false), upper: edge(9, true), limit: 3, ..whole(ints(&[&[2], &[7], &[1]])) };
    for bytes_max in [1, 100, 1 << 20] {
        assert_eq!(h.ids("by class", of_two.clone(), bytes_max), [18, 22, 26, 17, 21, 25]);
        let back = Range { descending: true, ..of_two.clone() };
        assert_eq!(h.ids("by class", back.clone(), bytes_max), [38, 34, 30, 37, 33, 29]);
        assert_eq!(h.ids("by class", Range { piece: 2, ..back }, bytes_max), [38, 34, 30, 37, 33, 29]);
        let none = Range { lower: edge(9, true), upper: edge(3, true), ..of_two.clone() };
        assert_eq!(h.ids("by class", none, bytes_max), Vec::<i64>::new());
        let none = Range { lower: edge(9, true), upper: edge(9, false), ..of_two.clone() };
        assert_eq!(h.ids("by class", none, bytes_max), Vec::<i64>::new());
        let any = whole(ints(&[&[]]));
        let first = Range { upper: edge(1, false), ..any.clone() };
        let mut found = h.ids("by time", first, bytes_max);
        found.sort_unstable();
        assert_eq!(found, [0, 1, 2, 3], "whatever the order of equals");
        let last = Range { descending: true, limit: 3, ..any };
        assert_eq!(h.ids("by id", last, bytes_max), [99, 98, 97]);
    }
}

#[test]
fn rows_that_stay_come_once_while_others_come_and_go() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut h = Harness::new();
        let classes = [1, 3, 50][seed as usize % 3];
        let times = [2, 40, 100_000][random.usize(0..3)];
        let mut stay = BTreeMap::new();
        for id in 0..2000 {
            let row = [id, random.i64(0..classes), random.i64(0..times)];
            h.write(WriteKind::Insert, &ints(&[&row]));
            if id % 2 == 0 {
                stay.insert(id, row);
            }
        }
        let view = ["by class", "by time"][random.usize(0..2)];
        let prefixes: Vec<[i64; 1]> = (0..classes).map(|class| [class]).collect();
        let prefixes: Vec<&[i64]> = match view {
            "by class" => prefixes.iter().map(|prefix| prefix.as_slice()).collect(),
            _ => vec![&[]],
        };
        let descending = random.bool();
        let range = Range { descending, piece: random.u32(1..100), ..whole(ints(&prefixes)) };
        let (view, bytes_max) = (h.view(view), random.usize(100..8000));
        let mut range = range;
        let (mut from, mut found): (Option<RangePosition>, Vec<i64>) = (None, Vec::new());
        while !range.prefixes.is_empty() {
            let mut rows = Rows::new();
            let piece = h.dataflow.range(view, range.as_ref(), from, bytes_max, &mut rows).expect("ordered");
            found.extend(rows.iter().map(|row| row.int(0)).filter(|id| stay.contains_key(id)));
            let done = piece.counts.len() - usize::from(piece.next.is_some());
            let mut rest = Rows::new();
            range.prefixes.iter().skip(done).for_each(|prefix| rest.push(prefix));
            (range.prefixes, from) = (rest, piece.next);
            for _ in 0..random.usize(0..10) {
                let id = random.i64(0..3000) * 2 + 1;
                match random.bool() {
                    true => h.write(WriteKind::Delete, &ints(&[&[id]])),
                    false => {
                        let row = [id, random.i64(0..classes), random.i64(0..times)];
                        h.write(WriteKind::Upsert, &ints(&[&row]));
                    }
                }
            }
        }
        let once: BTreeSet<i64> = found.iter().copied().collect();
        assert_eq!(once.len(), found.len(), "seed {seed}: none comes twice");
        assert!(once.iter().eq(stay.keys()), "seed {seed}: none is missing");
        let order =
            |id: &i64| (if classes > 1 && view == h.view("by class") { stay[id][1] } else { 0 }, stay[id][2]);
        let times: Vec<(i64, i64)> = found.iter().map(order).collect();
        let in_order = |pair: &[(i64, i64)]| match pair[0].0 == pair[1].0 {
            true if descending => pair[0].1 >= pair[1].1,
            true => pair[0].1 <= pair[1].1,
            false => pair[0].0 < pair[1].0,
        };
        assert!(times.windows(2).all(in_order), "seed {seed}: {times:?}");
    }
}

/// A position of one range means something in every other, if only an end or a beginning.
#[test]
fn any_position_is_safe() {
    let mut h = Harness::new();
    let rows: Vec<[i64; 3]> = (0..300).map(|id| [id, id % 4, id % 30]).collect();
    let rows: Vec<&[i64]> = rows.iter().map(|row| row.as_slice()).collect();
    h.write(WriteKind::Insert, &ints(&rows));
    let mut random = fastrand::Rng::with_seed(1);
    let mut from = None;
    for _ in 0..3000 {
        let (name, prefixes) = match random.u32(0..3) {
            0 => ("by class", ints(&[&[random.i64(0..4)]])),
            1 => ("by time", ints(&[&[]])),
            _ => ("by id", ints(&[&[]])),
        };
        let some = |random: &mut fastrand::Rng| match random.bool() {
            true => edge(random.i64(0..30), random.bool()),
            false => Edge::default(),
        };
        let range = Range {
            prefixes,
            lower: some(&mut random),
            upper: some(&mut random),
            descending: random.bool(),
            limit: random.u32(0..50),
            piece: random.u32(0..20),
        };
        let mut rows = Rows::new();
        let piece = h.dataflow.range(h.view(name), range.as_ref(), from.clone(), 400, &mut rows);
        let piece = piece.expect("the view is ordered");
        assert!(rows.count <= range.limit && rows.count <= range.piece.max(1));
        from = piece.next.or(from).filter(|_| random.u32(0..10) > 0);
    }
}

#[test]
fn what_is_no_range_of_the_view_is_refused() {
    let h = Harness::new();
    let ask = |view: &str, range: &Range| {
        h.dataflow.range(h.view(view), range.as_ref(), None, 400, &mut Rows::new()).map(|piece| piece.counts)
    };
    let good = whole(ints(&[&[1]]));
    assert_eq!(ask("by class", &good), Ok(vec![0]));
    assert!(matches!(ask("hashed", &good), Err(LookupError::Unordered(_))));
    let (mut texts, mut nulls) = (Rows::new(), Rows::new());
    texts.push_values(&mut RowBuilder::new(), &[Datum::Text("a")]);
    nulls.push_values(&mut RowBuilder::new(), &[Datum::Null]);
    let malformed = [
        whole(ints(&[&[1, 2]])),
        whole(texts.clone()),
        Range { lower: Edge { value: texts, included: true }, ..good.clone() },
        Range { upper: Edge { value: nulls.clone(), included: true }, ..good.clone() },
    ];
    for range in malformed {
        assert!(matches!(ask("by class", &range), Err(LookupError::Malformed { .. })), "{range:?}");
    }
    assert_eq!(ask("by class", &whole(nulls)), Ok(vec![0]), "a prefix may have NULL");
    let mut p = PlanBuilder::new();
    let t = p.table("t", &[column("id", Type::Int)], &["id"]).expect("sound");
    assert!(p.ordered_view("v", t, &[], &[]).is_err(), "there is nothing to order by");
}

/// A view that comes later gets the rows through a gate, and a view over an ordered one reads in front of a gate.
#[test]
fn later_views_have_the_rows_that_were_there() {
    let mut h = Harness::new();
    let rows: Vec<[i64; 3]> = (0..500).map(|id| [id, id % 7, id % 31]).collect();
    let rows: Vec<&[i64]> = rows.iter().map(|row| row.as_slice()).collect();
    h.write(WriteKind::Insert, &ints(&rows));
    let mut p = PlanBuilder::extend(h.plan.clone());
    let things = p.table_stream("things").expect("there");
    p.ordered_view("later", things, &["class", "id"], &[]).expect("sound");
    let by_class = p.view_stream("by class").expect("there");
    p.ordered_view("the same again", by_class, &["class", "at"], &[]).expect("sound");
    h.plan = p.build().expect("sound");
    h.dataflow.install(&h.plan).expect("sound");
    let refused =
        h.dataflow.range(h.view("later"), whole(ints(&[&[1]])).as_ref(), None, 400, &mut Rows::new());
    assert!(matches!(refused, Err(LookupError::Building { .. })));
    let mut random = fastrand::Rng::with_seed(2);
    while h.dataflow.ticks().0 < h.dataflow.ticks().1 {
        let (ticks, all) = h.dataflow.ticks();
        h.dataflow.tick(all.min(ticks + random.u64(1..900)));
        h.dataflow.finish(&mut h.outputs);
        let row = [random.i64(400..600), random.i64(0..7), random.i64(0..31)];
        h.write(WriteKind::Upsert, &ints(&[&row]));
    }
    let expected = h.dataflow.scan(h.view("by id")).expect("there").count;
    for name in ["by class", "later", "the same again"] {
        let view = h.plan.view(name).expect("there");
        let mut found = all(&h.dataflow, view);
        assert_eq!(found.len(), expected as usize, "{name}");
        found.sort();
        found.dedup();
        assert_eq!(found.len(), expected as usize, "{name}");
    }
}
