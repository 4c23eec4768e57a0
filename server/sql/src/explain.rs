//! EXPLAIN: what a statement does, in words; [`crate::dot`] draws it.

use crate::catalog::{self, Catalog, Object, ObjectKind};
use crate::change::{Change, Verb};
use crate::define::Definition;
use crate::dot;
use crate::error::{Result, SqlError};
use crate::feed::Feed;
use crate::locking::Locking;
use crate::names::{fold, object_name};
use crate::parse::EXPLAINED_OBJECT;
use crate::scan::Scan;
use crate::statement::{Bound, Prepared};
use crate::system::quoted;
use operators::plan::check::{inputs, operator_name};
use operators::plan::{JoinSpec, NodeSpec, Operator, ViewSpec};
use operators::{JoinKind, OperatorId, Plan, ViewId};
use sqlparser::ast::{Expr as Ast, SetExpr, Statement, TableFactor, UtilityOption, Value};
use std::collections::BTreeSet;

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Dot,
}

/// What is explained.
pub(crate) enum Asked<'s> {
    /// A statement.
    Statement(&'s Statement),
    /// How a table or view is kept.
    Object(String),
}

/// What an EXPLAIN asks for; none if the statement is none.
pub(crate) fn asked(statement: &Statement) -> Result<Option<(Asked<'_>, Format)>> {
    if let Statement::ExplainTable { describe_alias, table_name, .. } = statement {
        let is_explain = *describe_alias == sqlparser::ast::DescribeAlias::Explain;
        let object = is_explain.then(|| object_name(table_name)).transpose()?;
        return Ok(object.map(|name| (Asked::Object(name), Format::Text)));
    }
    let Statement::Explain { analyze, verbose, query_plan, estimate, statement, format, options, .. } =
        statement
    else {
        return Ok(None);
    };
    if *query_plan || *estimate || format.is_some() {
        return Err(SqlError::syntax("EXPLAIN takes its options in parentheses"));
    }
    for (is_asked, name) in [(*analyze, "ANALYZE"), (*verbose, "VERBOSE")] {
        if is_asked {
            return Err(SqlError::unsupported(format!("EXPLAIN {name}")));
        }
    }
    let mut written = Format::Text;
    let mut is_object = false;
    for option in options.iter().flatten() {
        if option.name.value == EXPLAINED_OBJECT {
            is_object = true;
        } else if let Some(format) = option_format(option)? {
            written = format;
        }
    }
    if let (true, Statement::Query(query)) = (is_object, &**statement)
        && let SetExpr::Select(select) = &*query.body
        && let Some(TableFactor::Table { name, .. }) = select.from.first().map(|from| &from.relation)
    {
        return Ok(Some((Asked::Object(object_name(name)?), written)));
    }
    if matches!(**statement, Statement::Prepare { .. } | Statement::Execute { .. }) {
        return Err(SqlError::unsupported("EXPLAIN of PREPARE and EXECUTE"));
    }
    Ok(Some((Asked::Statement(statement), written)))
}

/// The format that an option asks for; none if it asks for nothing. Those that ask for what there is not are refused.
fn option_format(option: &UtilityOption) -> Result<Option<Format>> {
    const KNOWN: &[&str] =
        &["analyze", "verbose", "costs", "settings", "buffers", "wal", "timing", "summary", "generic_plan"];
    let name = fold(&option.name);
    let value = option.arg.as_ref().map(|arg| match arg {
        Ast::Identifier(word) => fold(word),
        Ast::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            value => value.to_string().to_lowercase(),
        },
        other => other.to_string(),
    });
    let value = value.as_deref();
    if name == "format" {
        return match value {
            Some("text") => Ok(Some(Format::Text)),
            Some("dot") => Ok(Some(Format::Dot)),
            Some(kind @ ("xml" | "json" | "yaml")) => {
                Err(SqlError::unsupported(format!("EXPLAIN (FORMAT {})", kind.to_uppercase()))
                    .hint("There are TEXT and DOT."))
            }
            None => Err(SqlError::syntax("format requires a parameter")),
            Some(other) => {
                let message = format!("unrecognized value for EXPLAIN option \"format\": {other:?}");
                Err(SqlError::new("22023", message).hint("There are TEXT and DOT."))
            }
        };
    }
    if !KNOWN.contains(&name.as_str()) {
        return Err(SqlError::syntax(format!("unrecognized EXPLAIN option {name:?}")).at(option.name.span));
    }
    match value {
        Some("false" | "off" | "0") => Ok(None),
        _ => Err(SqlError::unsupported(format!("EXPLAIN ({})", name.to_uppercase()))),
    }
}

/// The lines of an explanation.
pub(crate) fn lines(catalog: &Catalog, prepared: &Prepared, format: Format) -> Result<Vec<String>> {
    if format == Format::Text {
        return Ok(explain(catalog, prepared));
    }
    match &prepared.bound {
        Bound::Lookup(lookup) => {
            let view = &catalog.plan().views[lookup.view.0 as usize];
            let words = Words { plan: catalog.plan(), read: &[] };
            let by = match lookup.is_range() {
                true => ranged(catalog, lookup.view, lookup.has_edges()),
                false => match named(view, &view.key) {
                    key if key.is_empty() => "its only key".to_owned(),
                    key => format!("({key})"),
                },
            };
            let result = (view.node, format!("lookup by {by}"));
            Ok(dot::graph(&words, &words.before([view.node]), Some(result)))
        }
        Bound::Query(scan) => {
            let read = read(scan);
            let words = Words { plan: scan.plan(), read: &read };
            let all = scan.plan().nodes.iter().map(|node| node.id);
            Ok(dot::graph(&words, &words.before(all), None))
        }
        Bound::Declare(declaration) => lines(catalog, &declaration.query, format),
        Bound::Locking(locking) => lines(catalog, &locking.query, format),
        Bound::Define(Definition::Entry(entry)) => {
            let mut plan = catalog.plan().clone();
            let first = plan.nodes.len();
            assert!(entry.extension.extend(&mut plan).is_some(), "it was bound against this plan");
            let words = Words { plan: &plan, read: &[] };
            Ok(dot::graph(&words, &words.before(plan.nodes[first..].iter().map(|node| node.id)), None))
        }
        _ => Err(SqlError::unsupported("EXPLAIN (FORMAT DOT) of anything but queries and definitions")),
    }
}

/// How the table or view of a name is kept; none if it is a query by name, which is to be explained as one.
pub(crate) fn object(catalog: &Catalog, object: &Object, format: Format) -> Option<Vec<String>> {
    if matches!(object.kind, ObjectKind::View { .. }) {
        return None;
    }
    let words = Words { plan: catalog.plan(), read: &[] };
    let nodes = words.before(object.paths.iter().map(|path| catalog.view(path).node));
    if format == Format::Dot {
        return Some(dot::graph(&words, &nodes, None));
    }
    let mut lines = vec![format!("{} {:?}, kept by these operators", object.kind_name(), object.name)];
    lines.extend(nodes.iter().map(|id| words.line(words.node(*id))));
    Some(lines)
}

fn explain(catalog: &Catalog, prepared: &Prepared) -> Vec<String> {
    match &prepared.bound {
        Bound::Lookup(lookup) => {
            let view = &catalog.plan().views[lookup.view.0 as usize];
            if lookup.is_range() {
                let (range, shards) = (ranged(catalog, lookup.view, lookup.has_edges()), shards_of(view));
                return vec![format!("lookup: reads {} by {range}, on {shards}", lookup.object)];
            }
            let key = named(view, &view.key);
            let by = if key.is_empty() { "its only key".to_owned() } else { format!("the key ({key})") };
            vec![format!("lookup: reads {} by {by}, on the shards that own the keys", lookup.object)]
        }
        Bound::Insert(write) => {
            vec![format!("write: puts rows into {}, each on the shard that owns its primary key", write.name)]
        }
        Bound::Change(change) => explain_change(catalog, change),
        Bound::Constant(_) => vec!["constant: computed without reading anything".to_owned()],
        Bound::Declare(declaration) => explain(catalog, &declaration.query),
        Bound::Query(scan) => explain_scan(catalog, scan),
        Bound::Locking(locking) => explain_locking(catalog, locking),
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
        Bound::Prepare(_) | Bound::Execute(_) | Bound::Session(_) => {
            vec!["session: nothing is read or written".to_owned()]
        }
    }
}

pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(plain).collect::<Vec<_>>().join(", ")
}

/// Hidden names without what hides them.
pub(crate) fn plain(name: &str) -> String {
    name.replace('\u{1}', "")
}

/// A query whose rows are locked.
fn explain_locking(catalog: &Catalog, locking: &Locking) -> Vec<String> {
    let mut lines = explain(catalog, &locking.query);
    lines.extend(locking.targets.iter().map(|target| {
        let name = plain(&target.name);
        format!("lock: rows of {name} that are shown stay locked until the transaction ends")
    }));
    lines
}

/// A write of several steps.
fn explain_change(catalog: &Catalog, change: &Change) -> Vec<String> {
    let mut lines = Vec::new();
    for locking in &change.locking {
        lines.extend(explain_locking(catalog, locking));
    }
    lines.extend(change.scan().map(|scan| explain_scan(catalog, scan)).unwrap_or_default());
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

/// Some columns of a view.
fn named(view: &ViewSpec, columns: &[u16]) -> String {
    names(columns.iter().map(|at| view.columns[usize::from(*at)].name.as_str()))
}

/// A range of the key of an ordered view, with or without edges.
fn ranged(catalog: &Catalog, id: ViewId, has_edges: bool) -> String {
    let view = &catalog.plan().views[id.0 as usize];
    let (last, prefix) = view.key.split_last().expect("an ordered key has columns");
    let (last, prefix) = (named(view, &[*last]), named(view, prefix));
    let paths =
        catalog.objects().iter().flat_map(|object| object.paths.iter().map(move |path| (object, path)));
    let index = paths
        .filter(|(_, path)| path.view == id.0)
        .map(|(object, path)| match path.name == object.name {
            true => "its own key".to_owned(),
            false => format!("the index {}", path.name),
        })
        .next()
        .expect("lookups read paths");
    match (has_edges, prefix.is_empty()) {
        (true, false) => format!("a range of ({last}) where ({prefix}) is given, which {index} has in order"),
        (true, true) => format!("a range of ({last}), which {index} has in order"),
        (false, false) => format!("({prefix}), in the order of ({last}), which {index} has"),
        (false, true) => format!("the order of ({last}), which {index} has"),
    }
}

/// Where a range of an ordered view lies.
fn shards_of(view: &ViewSpec) -> &'static str {
    if view.prefix().is_empty() { "every shard" } else { "the shards that own these keys" }
}

/// A scan: what is read and how, and the operators that it goes through.
fn explain_scan(catalog: &Catalog, scan: &Scan) -> Vec<String> {
    let mut lines = vec![
        "scan: no key answers this, so rows are read now and go through the operators below once, in the front"
            .to_owned(),
    ];
    for feed in scan.feeds() {
        let object = plain(&feed.object);
        let rows = if feed.is_filtered() { "; rows that WHERE rules out are dropped at once" } else { "" };
        lines.push(match feed.range_view() {
            Some(id) => {
                let shards = shards_of(&catalog.plan().views[id.0 as usize]);
                format!("  reads {object} by {}, on {shards}{rows}", ranged(catalog, id, true))
            }
            None if feed.is_by_key() => {
                format!("  reads {object} by key, on the shards that own the keys{rows}")
            }
            None => format!("  reads all rows of {object} on every shard{rows}"),
        });
        lines.extend(index_hint(catalog, feed));
    }
    for (_, name) in scan.given() {
        lines.push(format!("  has the rows of {name} by itself"));
    }
    let read = read(scan);
    let whole = Words { plan: scan.plan(), read: &[] };
    let before = whole.before(read.iter().map(|(inlet, _)| *inlet));
    let words = Words { plan: scan.plan(), read: &read };
    let own = scan.plan().nodes.iter().filter(|node| !before.contains(&node.id));
    lines.extend(own.map(|node| words.line(node)));
    lines
}

/// What would make a lookup of a range that all rows are read for.
fn index_hint(catalog: &Catalog, feed: &Feed) -> Option<String> {
    let (object, wanted) = (catalog.find(&feed.object)?, feed.index_wanted()?);
    let columns: Option<Vec<String>> = wanted
        .iter()
        .map(|at| object.columns.get(usize::from(*at)).map(|column| quoted(&column.name)))
        .collect();
    let name = quoted(&object.name);
    Some(format!("  hint: CREATE INDEX ON {name} ({}) would make a lookup of the range", columns?.join(", ")))
}

/// The operators where what a scan reads goes in, and what that is.
fn read(scan: &Scan) -> Vec<(OperatorId, String)> {
    let fed = scan.feeds().iter().map(|feed| (feed.inlet, plain(&feed.object)));
    let given = scan.given().map(|(inlet, name)| (inlet, name.to_owned()));
    fed.chain(given).collect()
}

/// Puts the operators of a plan into words.
pub(crate) struct Words<'a> {
    pub(crate) plan: &'a Plan,
    /// Nodes that stand for rows which are read from somewhere else.
    read: &'a [(OperatorId, String)],
}

impl Words<'_> {
    /// These nodes and all before them, up to those whose rows are read from somewhere else.
    fn before(&self, ids: impl IntoIterator<Item = OperatorId>) -> BTreeSet<OperatorId> {
        let mut found = BTreeSet::new();
        let mut left: Vec<OperatorId> = ids.into_iter().collect();
        while let Some(id) = left.pop() {
            if found.insert(id) {
                left.extend(self.inputs(id));
            }
        }
        found
    }

    /// Whether its views are those that shards keep.
    pub(crate) fn is_whole(&self) -> bool {
        self.read.is_empty()
    }

    /// What the rows of a node that stands for others are called.
    pub(crate) fn read_as(&self, id: OperatorId) -> Option<&str> {
        self.read.iter().find(|(read, _)| *read == id).map(|(_, name)| name.as_str())
    }

    /// Where a node's rows come from; nowhere if they are read from somewhere else.
    pub(crate) fn inputs(&self, id: OperatorId) -> Vec<OperatorId> {
        match self.read_as(id) {
            Some(_) => Vec::new(),
            None => inputs(&self.node(id).operator).collect(),
        }
    }

    pub(crate) fn node(&self, id: OperatorId) -> &NodeSpec {
        &self.plan.nodes[id.index()]
    }

    fn input(&self, id: OperatorId) -> String {
        if let Some(name) = self.read_as(id) {
            return name.to_owned();
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
        format!("  #{} {}: {}", node.id.0, operator_name(&node.operator), self.what(node))
    }

    /// What a node does.
    pub(crate) fn what(&self, node: &NodeSpec) -> String {
        let input = |id: OperatorId| self.input(id);
        match &node.operator {
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
            Operator::View(spec) if self.read.is_empty() && self.plan.views[spec.view.0 as usize].ordered => {
                format!("keeps rows of {} in order, ready for lookups of ranges", input(spec.input))
            }
            Operator::View(spec) if self.read.is_empty() => {
                format!("keeps rows of {} ready to be looked up", input(spec.input))
            }
            Operator::View(spec) => format!("keeps rows of {} as the result", input(spec.input)),
            Operator::Backfill(from) => {
                format!("passes on {}, first the rows that are there already", input(*from))
            }
            Operator::Dropped(_) => "nothing".to_owned(),
        }
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
