//! Several shards with messages under way give the views of one shard, in whatever order the links are served; also when
//! views are added and dropped in between, which each shard hears of when it likes.

use crate::oracle;
use crate::random::{self, Model, Write};
use operators::hash::{hash_key, owner};
use operators::plan::{Operator, ViewSpec};
use operators::{Batch, Dataflow, OperatorId, Outputs, Plan, Rows};
use std::collections::{BTreeMap, VecDeque};

struct Machine {
    shards: Vec<Dataflow>,
    /// Writes that wait, by shard.
    ingest: Vec<VecDeque<Write>>,
    /// Messages under way: by sender, by receiver.
    links: Vec<Vec<VecDeque<Message>>>,
    /// The plans so far, and how many of them each shard has consumed.
    catalogue: Vec<Plan>,
    consumed: Vec<usize>,
}

struct Message {
    /// How many plans its sender had consumed.
    needs: usize,
    exchange: OperatorId,
    batch: Batch,
}

/// What a shard can take a step over.
#[derive(Clone, Copy)]
enum Link {
    Control,
    Ingest,
    Ticks,
    From(usize),
}

impl Machine {
    fn new(plan: &Plan, shards: u16) -> Self {
        let dataflow = |shard| {
            let mut dataflow = Dataflow::new(shard, shards);
            dataflow.install(plan).expect("the builder checked it");
            dataflow
        };
        let links = || (0..shards).map(|_| VecDeque::new()).collect();
        Machine {
            shards: (0..shards).map(dataflow).collect(),
            ingest: (0..shards).map(|_| VecDeque::new()).collect(),
            links: (0..shards).map(|_| links()).collect(),
            catalogue: vec![plan.clone()],
            consumed: vec![1; usize::from(shards)],
        }
    }

    /// Routes the rows of a write to their owners.
    fn write(&mut self, plan: &Plan, write: &Write) {
        let key = plan.tables[write.table.0 as usize].key_columns();
        let key = if write.kind == operators::WriteKind::Delete { key.of_key_row() } else { key };
        let mut parts: Vec<Rows> = self.shards.iter().map(|_| Rows::new()).collect();
        for row in &write.rows {
            parts[owner(hash_key(row, &key), self.shards.len() as u16) as usize].push(row);
        }
        for (shard, rows) in parts.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.ingest[shard].push_back(Write { rows, ..write.clone() });
        }
    }

    /// The links on which a shard finds something that it may consume.
    fn busy_links(&self, shard: usize) -> Vec<Link> {
        let (ticks, ticks_max) = self.shards[shard].ticks();
        let may_receive = |from: &usize| {
            self.links[*from][shard].front().is_some_and(|message| message.needs <= self.consumed[shard])
        };
        let mut busy: Vec<Link> = (0..self.shards.len()).filter(may_receive).map(Link::From).collect();
        // A write to a table that the shard does not know yet waits.
        let knows = |write: &Write| (write.table.0 as usize) < self.shards[shard].plan().tables.len();
        let has_writes = self.ingest[shard].front().is_some_and(knows);
        busy.extend(has_writes.then_some(Link::Ingest));
        busy.extend((self.consumed[shard] < self.catalogue.len()).then_some(Link::Control));
        busy.extend((ticks < ticks_max).then_some(Link::Ticks));
        busy
    }

    /// One step of a random shard on a random link. Says whether there was anything to do.
    fn step(&mut self, random: &mut fastrand::Rng) -> bool {
        let count = self.shards.len();
        let busy: Vec<(usize, Link)> = (0..count)
            .flat_map(|shard| self.busy_links(shard).into_iter().map(move |link| (shard, link)))
            .collect();
        let Some((shard, link)) = random.choice(&busy).copied() else { return false };
        self.consume(shard, link, random);
        if random.u32(0..4) == 0 {
            // Replay may run the operators over steps of several links at once.
            let busy = self.busy_links(shard);
            random.choice(&busy).copied().into_iter().for_each(|link| self.consume(shard, link, random));
        }
        let mut out = Outputs::new(count as u16);
        self.shards[shard].finish(&mut out);
        for destination in 0..count {
            for (exchange, batch) in out.for_shard(destination as u16) {
                assert_ne!(destination, shard, "a shard sends nothing to itself");
                let message = Message { needs: self.consumed[shard], exchange, batch: batch.clone() };
                self.links[shard][destination].push_back(message);
            }
        }
        true
    }

    /// Consumes some of what a link has.
    fn consume(&mut self, to: usize, link: Link, random: &mut fastrand::Rng) {
        let (shard, most) = (&mut self.shards[to], random.usize(1..4));
        match link {
            Link::Control => {
                shard.install(&self.catalogue[self.consumed[to]]).expect("the builder checked it");
                self.consumed[to] += 1;
            }
            Link::Ticks => {
                let (ticks, ticks_max) = shard.ticks();
                let some = [1, random.u64(1..5000), shard.ticks_for(random.u64(0..10))];
                shard.tick(ticks_max.min(ticks + some[random.usize(0..3)].max(1)));
            }
            Link::Ingest => {
                for _ in 0..most {
                    let known = shard.plan().tables.len();
                    let next = self.ingest[to].pop_front_if(|write| (write.table.0 as usize) < known);
                    let Some(write) = next else { break };
                    shard.write(write.table, write.kind, &write.rows.rows).expect("the model allowed it");
                }
            }
            Link::From(from) => {
                for _ in 0..most {
                    let link = &mut self.links[from][to];
                    let Some(message) = link.pop_front_if(|message| message.needs <= self.consumed[to])
                    else {
                        break;
                    };
                    shard.apply(message.exchange, &message.batch.deltas);
                }
            }
        }
    }

    /// The rows of a view on all shards, each of which must be where it belongs.
    fn rows(&self, seed: u64, view: &ViewSpec) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            for row in &shard.scan(view.id).expect("the view is there") {
                let to = owner(hash_key(row, &view.spread_columns()), self.shards.len() as u16);
                assert_eq!(to as usize, number, "seed {seed}: a row of {:?} is astray", view.name);
                rows.push(row.bytes_all().to_vec());
            }
        }
        rows.sort();
        rows
    }

    /// Whether any shard refuses to read a view because of rows on which an expression has no value.
    fn is_failing(&self, view: &ViewSpec) -> bool {
        self.shards.iter().any(|shard| shard.failing(view.id).is_some())
    }

    fn digests(&self) -> Vec<u64> {
        self.shards.iter().map(Dataflow::digest).collect()
    }
}

#[test]
fn shards_together_hold_what_one_holds() {
    for seed in 0..150 {
        let mut random = fastrand::Rng::with_seed(20_000 + seed);
        let steps = random.usize(1..8);
        let plan = random::plan(&mut random, steps).expect("random plans are sound");
        let mut machines = [Machine::new(&plan, 1), Machine::new(&plan, 3), Machine::new(&plan, 3)];
        let mut model = Model::default();
        for _ in 0..40 {
            let write = model.write(&plan, &mut random);
            for machine in &mut machines {
                machine.write(&plan, &write);
                while random.u32(0..4) > 0 && machine.step(&mut random) {}
            }
        }
        for machine in &mut machines {
            while machine.step(&mut random) {}
        }
        assert_eq!(
            machines[1].digests(),
            machines[2].digests(),
            "seed {seed}: two ways of the same\n{plan:#?}"
        );
        for view in &plan.views {
            let (one, three) = (machines[0].rows(seed, view), machines[1].rows(seed, view));
            assert_eq!(one, three, "seed {seed}, {:?}\n{plan:#?}", view.name);
            let fails = [0, 1].map(|machine| machines[machine].is_failing(view));
            assert_eq!(fails[0], fails[1], "seed {seed}, {:?}\n{plan:#?}", view.name);
        }
    }
}

#[test]
fn views_added_to_tables_with_rows_hold_what_they_would_have() {
    let (mut gates, mut replaced, mut failed) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(30_000 + seed);
        let steps = random.usize(1..6);
        let mut plan = random::plan(&mut random, steps).expect("random plans are sound");
        let mut machines = [Machine::new(&plan, 1), Machine::new(&plan, 3), Machine::new(&plan, 3)];
        let mut model = Model::default();
        let plans = random.usize(1..4);
        for part in 0..=plans {
            for _ in 0..random.usize(0..20) {
                let write = model.write(&plan, &mut random);
                for machine in &mut machines {
                    machine.write(&plan, &write);
                    while random.u32(0..4) > 0 && machine.step(&mut random) {}
                }
            }
            if part < plans {
                let steps = random.usize(0..5);
                plan = random::later_plan(&mut random, plan, steps).expect("random plans are sound");
                model.replace(&plan);
                machines.iter_mut().for_each(|machine| machine.catalogue.push(plan.clone()));
            }
        }
        for machine in &mut machines {
            while machine.step(&mut random) {}
        }
        replaced += plan.tables.iter().filter(|table| table.replaced.is_some()).count();
        gates += plan.nodes.iter().filter(|node| matches!(node.operator, Operator::Backfill(_))).count();
        let expected = oracle::evaluate(&plan, &model.relations(&plan), &BTreeMap::new());
        let failing = oracle::failing(&plan, &expected);
        for view in plan.live_views() {
            for machine in &machines {
                let fails = machine.is_failing(view);
                assert_eq!(fails, failing[view.node.index()], "seed {seed}, {:?}\n{plan:#?}", view.name);
                failed += usize::from(fails);
            }
            let mut rows = Vec::new();
            for (row, weight) in &expected[view.node.index()] {
                (0..*weight).for_each(|_| rows.push(row.clone()));
            }
            for machine in &machines {
                assert_eq!(machine.rows(seed, view), rows, "seed {seed}, {:?}\n{plan:#?}", view.name);
                assert!(machine.shards.iter().all(|shard| {
                    let (done, all) = shard.backfill(view.id).expect("it is there");
                    done == all
                }));
            }
        }
        let (one, other) = (machines[1].digests(), machines[2].digests());
        assert_eq!(one, other, "seed {seed}: two ways of the same\n{plan:#?}");
    }
    assert!(gates > 400, "there were streams with rows: {gates}");
    assert!(failed > 200, "there were expressions without a value: {failed}");
    assert!(replaced > 200, "there were tables that got more columns: {replaced}");
}
