//! Which columns of a table a view is made from.
//!
//! From the view back to the tables: of each operator, the columns of its output that are asked for say which columns of its
//! inputs it needs. A join gives all columns of both sides, so what only passes by is not needed.

use super::check::inputs;
use super::{Column, Operator, OperatorId, Plan, TableId, ViewId, column_index};
use crate::expr::Expr;

/// By column, whether it is needed.
type Needed = Vec<bool>;

impl Plan {
    /// Whether the rows of a view, which has not been dropped, depend on what stands in this column of a table, or of one of
    /// those whose place the table has taken.
    pub fn needs_column(&self, view: ViewId, table: TableId, column: u16) -> bool {
        let Some(view) = self.views.get(view.0 as usize).map(|spec| spec.node) else { return false };
        let original = self.original(table);
        // Nothing is asked of what is not on the way to the view.
        let mut needed: Vec<Option<Needed>> = vec![None; view.index() + 1];
        needed[view.index()] = Some(vec![true; self.columns_of(view).len()]);
        for index in (0..=view.index()).rev() {
            let Some(asked) = needed[index].take() else { continue };
            let operator = &self.nodes[index].operator;
            if let Operator::Table(other) = operator
                && self.original(*other) == original
                && asked.get(usize::from(column)) == Some(&true)
            {
                return true;
            }
            for (input, more) in inputs(operator).zip(self.needed_of(operator, &asked)) {
                let before = needed[input.index()].get_or_insert_with(|| vec![false; more.len()]);
                before.iter_mut().zip(more).for_each(|(is_needed, more)| *is_needed |= more);
            }
        }
        false
    }

    fn columns_of(&self, node: OperatorId) -> &[Column] {
        &self.nodes[node.index()].columns
    }

    /// What an operator needs of each of its inputs for these columns of its output.
    fn needed_of(&self, operator: &Operator, asked: &Needed) -> Vec<Needed> {
        match operator {
            Operator::Table(_) | Operator::Dropped(_) => Vec::new(),
            Operator::Filter(spec) => {
                let mut needed = asked.clone();
                add_leaves(&spec.predicate, self.columns_of(spec.input), &mut needed);
                vec![needed]
            }
            Operator::Map(spec) => {
                let columns = self.columns_of(spec.input);
                let mut needed = vec![false; columns.len()];
                let expressions = spec.expressions.iter().zip(asked).filter(|(_, asked)| **asked);
                expressions.for_each(|(expression, _)| add_leaves(expression, columns, &mut needed));
                vec![needed]
            }
            Operator::Join(spec) => {
                let (left, right) = asked.split_at(self.columns_of(spec.left).len());
                vec![with(left, &spec.left_key), with(right, &spec.right_key)]
            }
            Operator::Aggregate(spec) => {
                let columns = self.columns_of(spec.input);
                let mut needed = with(&vec![false; columns.len()], &spec.group);
                let names = spec.aggregates.iter().flat_map(|aggregate| aggregate.columns());
                names.for_each(|name| add_named(name, columns, &mut needed));
                vec![needed]
            }
            // Rows that differ in any column are two.
            Operator::Distinct(input) => vec![vec![true; self.columns_of(*input).len()]],
            Operator::TopK(spec) => {
                let mut needed = with(asked, &spec.group);
                let columns = self.columns_of(spec.input);
                spec.order.iter().for_each(|order| add_named(&order.column, columns, &mut needed));
                vec![needed]
            }
            Operator::Exchange(spec) => vec![with(asked, &spec.key)],
            Operator::Union(inputs) => vec![asked.clone(); inputs.len()],
            Operator::Backfill(_) | Operator::View(_) => vec![asked.clone()],
        }
    }
}

fn with(needed: &[bool], more: &[u16]) -> Needed {
    let mut needed = needed.to_vec();
    more.iter().for_each(|at| needed[usize::from(*at)] = true);
    needed
}

fn add_named(name: &str, columns: &[Column], needed: &mut Needed) {
    needed[column_index(columns, name).expect("the plan was checked")] = true;
}

fn add_leaves(expression: &Expr, columns: &[Column], needed: &mut Needed) {
    expression.with_leaves(&mut |leaf| {
        match leaf {
            Expr::Column(name) => add_named(name, columns, needed),
            Expr::ColumnAt(at) => needed[*at as usize] = true,
            _ => {}
        }
        leaf.clone()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accumulator::Aggregate;
    use crate::expr::{col, lit};
    use crate::plan::{JoinKind, PlanBuilder, column};
    use crate::value::Type;

    #[test]
    fn what_passes_by_is_not_needed() {
        let mut p = PlanBuilder::new();
        let columns = ["id", "a", "b", "c", "d"].map(|name| column(name, Type::Int));
        let t = p.table("t", &columns, &["id"]).expect("sound");
        let u = p.table("u", &["id", "t"].map(|name| column(name, Type::Int)), &["id"]).expect("sound");
        let some = p.filter(t, col("a").eq(lit(1))).expect("sound");
        let pairs = p.join(u, some, &[("t", "b")], JoinKind::Inner).expect("sound");
        let map = p.map(pairs, &[("x", col("c"))]).expect("sound");
        p.view("joined", map, &["x"], &[]).expect("sound");
        let counts = p.aggregate(t, &["a"], &[("n", Aggregate::count_of("c"))]).expect("sound");
        p.view("counts", counts, &["a"], &[]).expect("sound");
        let none = p.map(counts, &[]).expect("sound");
        let count = p.aggregate(none, &[], &[("n", Aggregate::Count)]).expect("sound");
        p.view("count", count, &[], &[]).expect("sound");
        let all = p.distinct(t).expect("sound");
        let none = p.map(all, &[("one", lit(1))]).expect("sound");
        p.view("all", none, &["one"], &[]).expect("sound");
        let plan = p.build().expect("sound");
        for (view, needed) in [("joined", "abc"), ("counts", "ac"), ("count", "ac"), ("all", "abcd")] {
            let id = plan.view(view).expect("there").id;
            let found: String = (1..5)
                .filter(|at| plan.needs_column(id, TableId(0), *at))
                .map(|at| char::from(b'a' + at as u8 - 1))
                .collect();
            assert_eq!(found, needed, "{view}");
        }
    }
}
