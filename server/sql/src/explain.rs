//! EXPLAIN: what a statement does, in words.

use crate::catalog::{Catalog, Change, Extension};
use crate::define::Definition;
use crate::statement::{Bound, Prepared};
use operators::plan::check::operator_name;
use operators::plan::{NodeSpec, Operator};

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
        Bound::Modify(modify) => vec![
            format!("lookup: reads {} by key", modify.read.object),
            "write: changes or removes the rows found".to_owned(),
        ],
        Bound::Constant(_) => vec!["constant: computed without reading anything".to_owned()],
        Bound::Query(scan) => {
            let mut lines =
                vec!["scan: no key answers this; all rows go through these operators once".to_owned()];
            lines.extend(nodes(catalog, &scan.extension));
            lines
        }
        Bound::Define(Definition::Entry(entry)) => {
            let mut lines = vec![match &entry.change {
                Change::Create(object) => {
                    format!("definition: a {} {:?}, kept by these operators", object.kind_name(), object.name)
                }
                _ => "definition".to_owned(),
            }];
            lines.extend(nodes(catalog, &entry.extension));
            lines
        }
        Bound::Define(Definition::Nothing(why)) => vec![why.clone()],
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

fn nodes(catalog: &Catalog, extension: &Extension) -> Vec<String> {
    extension.nodes.iter().map(|node| line(catalog, extension, node)).collect()
}

fn line(catalog: &Catalog, extension: &Extension, node: &NodeSpec) -> String {
    let input = |id: operators::OperatorId| {
        let before = catalog.plan().nodes.get(id.index());
        match before.map(|node| &node.operator) {
            Some(Operator::Table(table)) => {
                format!("table {}", catalog.plan().tables[table.0 as usize].name)
            }
            _ => format!("#{}", id.0),
        }
    };
    let columns = |id: operators::OperatorId| {
        let before = catalog.plan().nodes.get(id.index());
        let own = || extension.nodes.get(id.index() - extension.nodes_before as usize);
        before.or_else(own).map(|node| node.columns.clone()).unwrap_or_default()
    };
    let named = |id, key: &[u16]| {
        let columns = columns(id);
        names(key.iter().map(|at| columns[usize::from(*at)].name.as_str()))
    };
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
        Operator::Join(spec) => format!(
            "pairs {} with {} where ({}) = ({}){}",
            input(spec.left),
            input(spec.right),
            named(spec.left, &spec.left_key),
            named(spec.right, &spec.right_key),
            if spec.kind == operators::JoinKind::Left {
                ", and keeps left rows without a partner"
            } else {
                ""
            }
        ),
        Operator::Aggregate(spec) => {
            format!("sums {} up by ({})", input(spec.input), named(spec.input, &spec.group))
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
        Operator::Exchange(spec) => {
            format!("sends rows of {} to the shard of ({})", input(spec.input), named(spec.input, &spec.key))
        }
        Operator::View(spec) => format!("keeps rows of {} ready to be looked up", input(spec.input)),
        Operator::Backfill(from) => {
            format!("passes on {}, first the rows that are there already", input(*from))
        }
        Operator::Dropped(_) => "nothing".to_owned(),
    };
    format!("  #{} {}: {what}", node.id.0, operator_name(&node.operator))
}
