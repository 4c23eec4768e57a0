//! Several shards with messages under way give the views of one shard, in whatever order the links are served.

use crate::random::{self, Model, Write};
use operators::hash::{hash_key, owner};
use operators::{Batch, Dataflow, OperatorId, Outputs, Plan, Rows};
use std::collections::VecDeque;

struct Machine {
    shards: Vec<Dataflow>,
    /// Writes that wait, by shard.
    ingest: Vec<VecDeque<Write>>,
    /// Messages under way: by sender, by receiver.
    links: Vec<Vec<VecDeque<(OperatorId, Batch)>>>,
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

    /// One step of a random shard on a random link. Says whether there was anything to do.
    fn step(&mut self, random: &mut fastrand::Rng) -> bool {
        let count = self.shards.len();
        let ingest = (0..count).filter(|shard| !self.ingest[*shard].is_empty()).map(|shard| (shard, shard));
        let links = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
        let busy: Vec<(usize, usize)> =
            ingest.chain(links.filter(|(from, to)| !self.links[*from][*to].is_empty())).collect();
        let Some((from, to)) = random.choice(&busy).copied() else { return false };
        let mut out = Outputs::new(count as u16);
        for _ in 0..random.usize(1..4) {
            if from == to {
                let Some(write) = self.ingest[to].pop_front() else { break };
                self.shards[to]
                    .write(write.table, write.kind, &write.rows.rows)
                    .expect("the model allowed it");
            } else {
                let Some((exchange, batch)) = self.links[from][to].pop_front() else { break };
                self.shards[to].apply(exchange, &batch.deltas);
            }
        }
        self.shards[to].finish(&mut out);
        for destination in 0..count {
            for (exchange, batch) in out.for_shard(destination as u16) {
                assert_ne!(destination, to, "a shard sends nothing to itself");
                self.links[to][destination].push_back((exchange, batch.clone()));
            }
        }
        true
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
            let rows = |machine: &Machine| {
                let mut rows = Vec::new();
                for (number, shard) in machine.shards.iter().enumerate() {
                    for row in &shard.scan(view.id).expect("the view is there") {
                        let to = owner(hash_key(row, &view.key_columns()), machine.shards.len() as u16);
                        assert_eq!(to as usize, number, "seed {seed}: a row of {:?} is astray", view.name);
                        rows.push(row.bytes_all().to_vec());
                    }
                }
                rows.sort();
                rows
            };
            assert_eq!(rows(&machines[0]), rows(&machines[1]), "seed {seed}, {:?}\n{plan:#?}", view.name);
        }
    }
}
