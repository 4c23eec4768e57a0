//! EXPLAIN: what a statement does, in words.

use crate::catalog::{self, Catalog};
use crate::change::{Change, Verb};
use crate::define::Definition;
use crate::scan::Scan;
use crate::statement::{Bound, Prepared};
use operators::plan::check::{inputs, operator_name};
use operators::plan::{JoinSpec, NodeSpec, Operator};
use operators::{JoinKind, OperatorId, Plan};

/// The lines of an explanation.
pub(crate) fn explain(catalog: &Catalog, prepared: &Prepared) -> Vec<String> {
    match &prepared.bound {
        Bound::Lookup(lookup) => {
            let view = &catalog.plan().views[lookup.view.0 as usize];
            let key = names(view.key.iter().map(|at| view.columns[usize::from(*at)].name.as_str()));
            let by = if key.is_empty() { "its only key".to_owned() } else { format!("the key ({key})") };
            vec![format!("lookup: reads {} by {by}, on the shards that own the keys", lookup.object)]
        }
        Bound::Insert(write) => {
            vec![format!("write: puts rows into {}, each on the shard that owns its primary key", write.name)]
        }
        Bound::Change(change) => explain_change(change),
        Bound::Constant(_) => vec!["constant: computed without reading anything".to_owned()],
        Bound::Declare(declaration) => explain(catalog, &declaration.query),
        Bound::Query(scan) => explain_scan(scan),
        Bound::Define(Definition::Entry(entry)) => {
            let mut lines = vec![match &entry.change {
                catalog::Change::Create(object) => {
                    format!("definition: a {} {:?}, kept by these operators", object.kind_name(), object.name)
                }
                _ => "definition".to_owned(),
            }];
            let mut plan = catalog.plan().clone();
            let first = plan.nodes.len();
            assert!(entry.extension.extend(&mut plan).is_some(), "it was bound against this plan");
            let words = Words { plan: &plan, read: &[] };
            lines.extend(plan.nodes[first..].iter().map(|node| words.line(node)));
            lines
        }
        Bound::Define(Definition::Nothing(why)) => vec![why.clone()],
        Bound::Role(_) => vec!["definition of who may connect".to_owned()],
        Bound::Explain(lines) => lines.clone(),
        Bound::Session(_) => vec!["session: nothing is read or written".to_owned()],
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(plain).collect::<Vec<_>>().join(", ")
}

/// Hidden names without what hides them.
fn plain(name: &str) -> String {
    name.replace('\u{1}', "")
}

/// A write of several steps.
fn explain_change(change: &Change) -> Vec<String> {
    let mut lines = change.scan().map(explain_scan).unwrap_or_default();
    let name = plain(&change.name);
    if change.looks_for_keys() {
        lines.push(format!("lookup: looks for rows of {name} with the keys of the new ones"));
    }
    let what = match change.verb {
        Verb::Insert => "puts rows into",
        Verb::Update => "changes rows of",
        Verb::Delete | Verb::Truncate => "removes rows of",
    };
    lines.push(format!("write: {what} {name}, each on the shard that owns its primary key"));
    lines
}

/// A scan: what is read and how, and the operators that it goes through.
fn explain_scan(scan: &Scan) -> Vec<String> {
    let mut lines = vec![
        "scan: no key answers this, so rows are read now and go through the operators below once, in the front"
            .to_owned(),
    ];
    for feed in scan.feeds() {
        let object = plain(&feed.object);
        let rows = if feed.is_filtered() { "; rows that WHERE rules out are dropped at once" } else { "" };
        lines.push(match feed.is_by_key() {
            true => format!("  reads {object} by key, on the shards that own the keys{rows}"),
            false => format!("  reads all rows of {object} on every shard{rows}"),
        });
    }
    let mut inlets: Vec<(OperatorId, String)> =
        scan.feeds().iter().map(|feed| (feed.inlet, plain(&feed.object))).collect();
    for (inlet, name) in scan.given() {
        lines.push(format!("  has the rows of {name} by itself"));
        inlets.push((inlet, name.to_owned()));
    }
    let words = Words { plan: scan.plan(), read: &inlets };
    let before: Vec<OperatorId> = inlets.iter().flat_map(|(inlet, _)| words.before(*inlet)).collect();
    let own = scan.plan().nodes.iter().filter(|node| !before.contains(&node.id));
    lines.extend(own.map(|node| words.line(node)));
    lines
}

/// Puts the operators of a plan into words.
struct Words<'a> {
    plan: &'a Plan,
    /// Nodes that stand for rows which are read from somewhere else.
    read: &'a [(OperatorId, String)],
}

impl Words<'_> {
    /// The node and all before it on its way.
    fn before(&self, id: OperatorId) -> Vec<OperatorId> {
        let mut found = vec![id];
        for input in inputs(&self.plan.nodes[id.index()].operator) {
            found.extend(self.before(input));
        }
        found
    }

    fn node(&self, id: OperatorId) -> &NodeSpec {
        &self.plan.nodes[id.index()]
    }

    fn input(&self, id: OperatorId) -> String {
        if let Some((_, name)) = self.read.iter().find(|(read, _)| *read == id) {
            return name.clone();
        }
        match &self.node(id).operator {
            Operator::Table(table) => format!("table {}", plain(&self.plan.tables[table.0 as usize].name)),
            _ => format!("#{}", id.0),
        }
    }

    fn named(&self, id: OperatorId, key: &[u16]) -> String {
        let columns = &self.node(id).columns;
        names(key.iter().map(|at| columns[usize::from(*at)].name.as_str()))
    }

    fn line(&self, node: &NodeSpec) -> String {
        let input = |id: OperatorId| self.input(id);
        let what = match &node.operator {
            Operator::Table(_) => "takes writes".to_owned(),
            Operator::Filter(spec) => {
                format!("keeps rows of {} for which the condition is true", input(spec.input))
            }
            Operator::Map(spec) => format!(
                "computes ({}) from {}",
                names(node.columns.iter().map(|column| column.name.as_str())),
                input(spec.input)
            ),
            Operator::Join(spec) => self.join(spec),
            Operator::Aggregate(spec) => {
                format!("sums {} up by ({})", input(spec.input), self.named(spec.input, &spec.group))
            }
            Operator::Distinct(from) => format!("keeps one of equal rows of {}", input(*from)),
            Operator::Union(from) => {
                format!("puts together {}", from.iter().map(|id| input(*id)).collect::<Vec<_>>().join(", "))
            }
            Operator::TopK(spec) => format!(
                "keeps the first {} rows of {} by ({})",
                spec.limit,
                input(spec.input),
                names(spec.order.iter().map(|order| order.column.as_str()))
            ),
            Operator::Exchange(spec) => format!(
                "sends rows of {} to the shard of ({})",
                input(spec.input),
                self.named(spec.input, &spec.key)
            ),
            Operator::View(spec) if self.read.is_empty() => {
                format!("keeps rows of {} ready to be looked up", input(spec.input))
            }
            Operator::View(spec) => format!("keeps rows of {} as the result", input(spec.input)),
            Operator::Backfill(from) => {
                format!("passes on {}, first the rows that are there already", input(*from))
            }
            Operator::Dropped(_) => "nothing".to_owned(),
        };
        format!("  #{} {}: {what}", node.id.0, operator_name(&node.operator))
    }

    fn join(&self, spec: &JoinSpec) -> String {
        let left = spec.kind == JoinKind::Left;
        format!(
            "pairs {} with {} where ({}) = ({}){}",
            self.input(spec.left),
            self.input(spec.right),
            self.named(spec.left, &spec.left_key),
            self.named(spec.right, &spec.right_key),
            if left { ", and keeps left rows without a partner" } else { "" }
        )
    }
}
