//! Extensions: what a plan has beyond the one that it continues.
//!
//! A catalogue is a list of them, so its size grows with what is defined and not with its square.

#![allow(missing_docs, reason = "rkyv derives resolvers whose fields carry no documentation")]

use super::{Dropped, NodeSpec, Operator, Plan, TableSpec, ViewSpec};
use crate::error::PlanError;
use std::sync::Arc;

/// What a plan has beyond an earlier one.
#[derive(Debug, Clone, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Extension {
    /// Tables of the plan before it.
    pub tables_before: u32,
    /// Nodes of the plan before it.
    pub nodes_before: u32,
    /// Views of the plan before it.
    pub views_before: u32,
    /// What it adds.
    pub tables: Vec<TableSpec>,
    /// What it adds.
    pub nodes: Vec<NodeSpec>,
    /// What it adds.
    pub views: Vec<ViewSpec>,
    /// Nodes that were there before it and are dropped by it.
    pub dropped: Vec<DroppedNode>,
}

/// A node that an extension drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct DroppedNode {
    /// Its number.
    pub node: u32,
    /// As the plan has it.
    pub dropped: Dropped,
}

impl Extension {
    /// What `after` has beyond `before`.
    ///
    /// # Errors
    /// If `after` does not continue `before`: it changes more than adding and dropping.
    pub fn of(before: &Plan, after: &Plan) -> Result<Self, PlanError> {
        let changed = || PlanError::invalid("it changes what is installed").in_operator("plan");
        let continues = after.nodes.len() >= before.nodes.len()
            && begins_with(&after.tables, &before.tables)
            && begins_with(&after.views, &before.views);
        if !continues {
            return Err(changed());
        }
        let mut dropped = Vec::new();
        for (old, new) in before.nodes.iter().zip(&after.nodes).filter(|(old, new)| !is_same(old, new)) {
            match &new.operator {
                Operator::Dropped(how) if old.id == new.id && old.columns == new.columns => {
                    dropped.push(DroppedNode { node: new.id.0, dropped: *how });
                }
                _ => return Err(changed()),
            }
        }
        Ok(Extension {
            dropped,
            tables_before: before.tables.len() as u32,
            nodes_before: before.nodes.len() as u32,
            views_before: before.views.len() as u32,
            tables: beyond(&after.tables, &before.tables),
            nodes: beyond(&after.nodes, &before.nodes),
            views: beyond(&after.views, &before.views),
        })
    }

    /// What `after` has beyond `before`, which it continues, as a builder makes it.
    ///
    /// # Panics
    /// If it does not.
    pub fn between(before: &Plan, after: &Plan) -> Self {
        Extension::of(before, after).expect("a plan that was built on another continues it")
    }

    /// Adds it to `plan`, and gives what has been there of the nodes that it drops; none, and nothing done, if that is not the
    /// plan it was made for.
    pub fn extend(&self, plan: &mut Plan) -> Option<Vec<Operator>> {
        let is_there = |DroppedNode { node, dropped }: &DroppedNode| {
            plan.nodes.get(*node as usize).is_some_and(|there| match there.operator {
                Operator::Dropped(_) => false,
                Operator::Backfill(_) => dropped.was_backfill,
                _ => !dropped.was_backfill,
            })
        };
        let fits = self.dropped.iter().all(is_there)
            && plan.tables.len() == self.tables_before as usize
            && plan.nodes.len() == self.nodes_before as usize
            && plan.views.len() == self.views_before as usize;
        fits.then(|| {
            plan.tables.extend(self.tables.iter().cloned().map(Arc::new));
            plan.nodes.extend(self.nodes.iter().cloned().map(Arc::new));
            plan.views.extend(self.views.iter().cloned().map(Arc::new));
            let replace = |DroppedNode { node, dropped }: &DroppedNode| {
                let node = Arc::make_mut(&mut plan.nodes[*node as usize]);
                std::mem::replace(&mut node.operator, Operator::Dropped(*dropped))
            };
            self.dropped.iter().map(replace).collect()
        })
    }

    /// Undoes [`Extension::extend`], which gave these operators.
    pub fn take_back(&self, plan: &mut Plan, before: Vec<Operator>) {
        plan.tables.truncate(self.tables_before as usize);
        plan.nodes.truncate(self.nodes_before as usize);
        plan.views.truncate(self.views_before as usize);
        for (DroppedNode { node, .. }, operator) in self.dropped.iter().zip(before) {
            Arc::make_mut(&mut plan.nodes[*node as usize]).operator = operator;
        }
    }
}

/// Equal; most of what two plans have in common they share.
fn is_same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

fn begins_with<T: PartialEq>(all: &[Arc<T>], first: &[Arc<T>]) -> bool {
    all.len() >= first.len() && all.iter().zip(first).all(|(one, other)| is_same(one, other))
}

fn beyond<T: Clone>(after: &[Arc<T>], before: &[Arc<T>]) -> Vec<T> {
    after[before.len()..].iter().map(|spec| spec.as_ref().clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PlanBuilder, Type, column};

    fn table(builder: &mut PlanBuilder, name: &str) {
        let table = builder.table(name, &[column("id", Type::Int)], &["id"]).expect("is new");
        builder.view(name, table, &["id"], &[]).expect("is new");
    }

    #[test]
    fn extensions_in_turn_make_the_plan() {
        let mut plans = vec![Plan::default()];
        for name in ["a", "b", "c"] {
            let mut builder = PlanBuilder::extend(plans[plans.len() - 1].clone());
            table(&mut builder, name);
            if name == "c" {
                builder.drop_view("a").expect("is there");
            }
            plans.push(builder.build().expect("is sound"));
        }
        let mut plan = Plan::default();
        for pair in plans.windows(2) {
            let extension = Extension::of(&pair[0], &pair[1]).expect("continues");
            let before = extension.extend(&mut plan).expect("it was made for this plan");
            assert_eq!(plan, pair[1]);
            extension.take_back(&mut plan, before);
            assert_eq!(plan, pair[0]);
            assert!(extension.extend(&mut plan).is_some());
            assert!(extension.extend(&mut plan).is_none(), "it was made for another plan");
        }
        let mut other = PlanBuilder::new();
        table(&mut other, "d");
        assert!(Extension::of(&plan, &other.build().expect("is sound")).is_err());
        assert!(Extension::of(&plan, &plans[2]).is_err());
    }
}
