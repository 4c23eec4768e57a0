//! How far a view is from the tables: what has to happen before it shows a write.

use super::check::inputs;
use super::{Dropped, Operator, Plan, ViewId};
use crate::backfill::SLICE_COUNT;

/// The way from the tables to a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Exchanges on the longest way: how many times a row may go from shard to shard.
    pub rounds: u32,
    /// Ticks that a shard must have consumed for all gates on the ways to be open; 0 if there are none.
    pub ticks: u64,
}

impl Plan {
    /// How far a view is from the tables; none if there is no such view. A view that was dropped has no way.
    pub fn reach(&self, view: ViewId) -> Option<Reach> {
        let on_the_way = self.way_to(view)?;
        let mut reaches = vec![Reach::default(); on_the_way.len()];
        let mut gates = 0;
        for (index, node) in self.nodes[..on_the_way.len()].iter().enumerate() {
            let mut reach = Reach::default();
            for input in inputs(&node.operator).take_while(|_| on_the_way[index]) {
                let before = reaches[input.index()];
                reach.rounds = reach.rounds.max(before.rounds);
                reach.ticks = reach.ticks.max(before.ticks);
            }
            match &node.operator {
                Operator::Exchange(_) => reach.rounds += 1,
                // The ticks of a gate come after those of all gates before it, also of those that have been dropped.
                Operator::Backfill(_) => {
                    gates += 1;
                    reach.ticks = gates * u64::from(SLICE_COUNT);
                }
                Operator::Dropped(Dropped { was_backfill: true }) => gates += 1,
                _ => {}
            }
            reaches[index] = reach;
        }
        reaches.pop()
    }

    /// The gates on the ways to a view, each by how many gates were installed before it, dropped ones too; none if there is no
    /// such view.
    pub fn gates(&self, view: ViewId) -> Option<Vec<u64>> {
        let on_the_way = self.way_to(view)?;
        let (mut gates, mut count) = (Vec::new(), 0);
        for (node, on_the_way) in self.nodes.iter().zip(on_the_way) {
            match &node.operator {
                Operator::Backfill(_) => {
                    if on_the_way {
                        gates.push(count);
                    }
                    count += 1;
                }
                Operator::Dropped(Dropped { was_backfill: true }) => count += 1,
                _ => {}
            }
        }
        Some(gates)
    }

    /// Which of the nodes as far as that of a view are on the ways to it.
    fn way_to(&self, view: ViewId) -> Option<Vec<bool>> {
        let view = self.views.get(view.0 as usize)?.node.index();
        let mut on_the_way = vec![false; view + 1];
        on_the_way[view] = true;
        for index in (0..=view).rev() {
            if on_the_way[index] {
                inputs(&self.nodes[index].operator).for_each(|input| on_the_way[input.index()] = true);
            }
        }
        Some(on_the_way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::Aggregate;
    use crate::plan::{PlanBuilder, column};
    use crate::value::Type;

    #[test]
    fn exchanges_and_gates_on_the_way_are_counted() {
        let mut p = PlanBuilder::new();
        let columns = [column("id", Type::Int), column("class", Type::Int)];
        let things = p.table("things", &columns, &["id"]).expect("sound");
        p.view("by id", things, &["id"], &[]).expect("sound");
        let counts = p.aggregate(things, &["class"], &[("n", Aggregate::Count)]).expect("sound");
        p.view("counts", counts, &["class"], &[]).expect("sound");
        let sizes = p.aggregate(counts, &["n"], &[("classes", Aggregate::Count)]).expect("sound");
        p.view("sizes", sizes, &["n"], &[]).expect("sound");
        let first = p.build().expect("sound");
        let reach = |plan: &Plan, name: &str| plan.reach(plan.view(name).expect("there").id).expect("there");
        for (name, rounds) in [("by id", 0), ("counts", 1), ("sizes", 2)] {
            assert_eq!(reach(&first, name), Reach { rounds, ticks: 0 }, "{name}");
        }
        let mut p = PlanBuilder::extend(first);
        let counts = p.view_stream("counts").expect("sound");
        let later = p.aggregate(counts, &["n"], &[("classes", Aggregate::Count)]).expect("sound");
        p.view("later sizes", later, &["n"], &[]).expect("sound");
        let second = p.build().expect("sound");
        let slices = u64::from(SLICE_COUNT);
        assert_eq!(reach(&second, "later sizes"), Reach { rounds: 2, ticks: slices });
        assert_eq!(reach(&second, "sizes"), Reach { rounds: 2, ticks: 0 });
        let mut p = PlanBuilder::extend(second.clone());
        p.drop_view("later sizes").expect("sound");
        let things = p.table_stream("things").expect("sound");
        p.view("again", things, &["class"], &[]).expect("sound");
        let third = p.build().expect("sound");
        assert_eq!(reach(&third, "again"), Reach { rounds: 1, ticks: 2 * slices });
        let gates = |plan: &Plan, name: &str| plan.gates(plan.view(name).expect("there").id).expect("there");
        assert!(gates(&second, "sizes").is_empty());
        assert_eq!(gates(&second, "later sizes"), [0]);
        assert_eq!(gates(&third, "again"), [1]);
        let mut p = PlanBuilder::extend(third.clone());
        let again = p.view_stream("again").expect("sound");
        p.view("and again", again, &["id"], &[]).expect("sound");
        let fourth = p.build().expect("sound");
        assert_eq!(gates(&fourth, "and again"), [1, 2], "and the gate of what it reads");
        assert_eq!(third.reach(ViewId(99)), None);
    }
}
