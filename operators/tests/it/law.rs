//! The law: what a dataflow holds is a function of the multiset consumed, and equals a computation from scratch.

use crate::oracle::{self, Relation};
use crate::random::{self, Model, Write};
use operators::{Batch, Dataflow, OperatorId, Outputs, Plan, Row};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Event {
    Write(Write),
    /// Deltas of any sign, as if another shard had sent them.
    Deltas(OperatorId, Batch),
}

/// A random plan and what happens to it. At the end of all events, most negative weights have been made up for.
fn events(plan: &Plan, model: &mut Model, random: &mut fastrand::Rng) -> Vec<Event> {
    let exchanges = random::exchanges(plan);
    let mut events = Vec::new();
    let mut owed: Vec<Event> = Vec::new();
    for _ in 0..40 {
        if exchanges.is_empty() || random.bool() {
            events.push(Event::Write(model.write(plan, random)));
            continue;
        }
        let exchange = exchanges[random.usize(0..exchanges.len())];
        let (mut batch, mut back) = (Batch::new(), Batch::new());
        for _ in 0..random.usize(1..6) {
            let row = random::row(random, &plan.nodes[exchange.index()].columns);
            let weight = random.i64(-2..3);
            batch.push(Row::at(&row), weight);
            if random.u32(0..3) > 0 {
                back.push(Row::at(&row), -weight);
            }
        }
        events.push(Event::Deltas(exchange, batch));
        owed.push(Event::Deltas(exchange, back));
    }
    events.extend(owed);
    events
}

fn feed(dataflow: &mut Dataflow, event: &Event) {
    match event {
        Event::Write(write) => {
            dataflow.validate_write(write.table, write.kind, &write.rows.rows).expect("rows are well formed");
            dataflow.write(write.table, write.kind, &write.rows.rows).expect("the model allowed it");
        }
        Event::Deltas(exchange, batch) => dataflow.apply(*exchange, &batch.deltas),
    }
}

fn check_views(
    seed: u64,
    plan: &Plan,
    dataflow: &Dataflow,
    model: &Model,
    injected: &BTreeMap<OperatorId, Relation>,
) {
    let expected = oracle::evaluate(plan, &model.relations(plan), injected);
    for view in &plan.views {
        let mut rows = Vec::new();
        for (row, weight) in &expected[view.node.index()] {
            (0..*weight).for_each(|_| rows.push(row.clone()));
        }
        let found: Vec<Vec<u8>> = dataflow
            .scan(view.id)
            .expect("the view is there")
            .iter()
            .map(|r| r.bytes_all().to_vec())
            .collect();
        if view.ordered {
            let mut in_order = crate::ranges::all(dataflow, view);
            in_order.sort();
            assert_eq!(in_order, rows, "seed {seed}, {:?} by ranges\n{plan:#?}", view.name);
        }
        if found != rows {
            let types: Vec<_> = view.columns.iter().map(|column| column.ty).collect();
            let show =
                |rows: &[Vec<u8>]| rows.iter().map(|row| Row::at(row).display(&types)).collect::<Vec<_>>();
            panic!(
                "seed {seed}, {:?}:\n{:#?}\ninstead of\n{:#?}\n{plan:#?}",
                view.name,
                show(&found),
                show(&rows)
            );
        }
    }
}

#[test]
fn views_equal_a_computation_from_scratch_after_every_step() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let steps = random.usize(1..8);
        let plan = random::plan(&mut random, steps).expect("random plans are sound");
        let mut dataflow = Dataflow::new(0, 1);
        dataflow.install(&plan).expect("the builder checked it");
        let mut out = Outputs::new(1);
        // Writes must be made as they are applied, for the model to be at the same point.
        let mut model = Model::default();
        let mut injected: BTreeMap<OperatorId, Relation> = BTreeMap::new();
        for event in events(&plan, &mut Model::default(), &mut random) {
            let event = match event {
                Event::Write(_) => Event::Write(model.write(&plan, &mut random)),
                deltas => deltas,
            };
            feed(&mut dataflow, &event);
            if let Event::Deltas(exchange, batch) = &event {
                let relation = injected.entry(*exchange).or_default();
                batch.deltas().for_each(|(row, weight)| oracle::add(relation, row, weight));
            }
            if random.u32(0..3) > 0 {
                dataflow.finish(&mut out);
                assert!(out.is_empty(), "there is no other shard");
                check_views(seed, &plan, &dataflow, &model, &injected);
            }
        }
        dataflow.finish(&mut out);
        check_views(seed, &plan, &dataflow, &model, &injected);
    }
}

/// What is sent to other shards, summed up.
type Sent = BTreeMap<(u16, OperatorId), Relation>;

fn run(plan: &Plan, shards: u16, order: &[Event], random: &mut fastrand::Rng, group: u32) -> (u64, Sent) {
    let mut dataflow = Dataflow::new(0, shards);
    dataflow.install(plan).expect("the builder checked it");
    let mut out = Outputs::new(shards);
    let mut sent = Sent::new();
    for (number, event) in order.iter().enumerate() {
        feed(&mut dataflow, event);
        if random.u32(0..group) == 0 || number + 1 == order.len() {
            dataflow.finish(&mut out);
            for destination in 0..shards {
                for (exchange, batch) in out.for_shard(destination) {
                    let rows: BTreeSet<_> = batch.deltas().map(|(row, _)| row).collect();
                    assert_eq!(rows.len(), batch.count as usize, "what is sent is combined");
                    assert!(batch.deltas().all(|(_, weight)| weight != 0), "what cancels is not sent");
                    let relation = sent.entry((destination, exchange)).or_default();
                    batch.deltas().for_each(|(row, weight)| oracle::add(relation, row, weight));
                }
            }
        }
    }
    sent.retain(|_, relation| !relation.is_empty());
    (dataflow.digest(), sent)
}

/// The same events in another order: writes keep theirs, as the ingest link does, all else goes anywhere.
fn shuffled(events: &[Event], random: &mut fastrand::Rng) -> Vec<Event> {
    let mut deltas: Vec<Event> = events.iter().filter(|e| matches!(e, Event::Deltas(..))).cloned().collect();
    let mut writes =
        events.iter().filter(|e| matches!(e, Event::Write(_))).cloned().rev().collect::<Vec<_>>();
    random.shuffle(&mut deltas);
    let mut order = Vec::new();
    while !deltas.is_empty() || !writes.is_empty() {
        let from = if random.bool() { &mut deltas } else { &mut writes };
        order.extend(from.pop());
    }
    order
}

#[test]
fn state_and_output_do_not_depend_on_the_order() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(10_000 + seed);
        let steps = random.usize(1..8);
        let plan = random::plan(&mut random, steps).expect("random plans are sound");
        let shards = random.u16(1..4);
        let events = events(&plan, &mut Model::default(), &mut random);
        let expected = run(&plan, shards, &events, &mut random, 1);
        for _ in 0..3 {
            let order = shuffled(&events, &mut random);
            let group = [1, 3, 100][random.usize(0..3)];
            let found = run(&plan, shards, &order, &mut random, group);
            assert_eq!(found.1, expected.1, "seed {seed}: what was sent\n{plan:#?}");
            assert_eq!(found.0, expected.0, "seed {seed}: the state\n{plan:#?}");
        }
    }
}
