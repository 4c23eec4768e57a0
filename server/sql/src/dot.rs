//! A dataflow in the language of Graphviz, for EXPLAIN (FORMAT DOT).
//!
//! ```text
//! psql -XAtc 'EXPLAIN (FORMAT DOT) name' | dot -Tsvg > name.svg
//! ```

use crate::explain::{Words, names, plain};
use operators::plan::check::operator_name;
use operators::plan::{NodeSpec, Operator};
use operators::{Column, OperatorId};
use std::collections::BTreeSet;

/// Characters of a label's line, after which it is broken at a blank.
const LINE_CHARACTERS: usize = 36;

/// The lines of a graph of these nodes, and of what is done with the rows of one of them at the end.
pub(crate) fn graph(
    words: &Words<'_>,
    nodes: &BTreeSet<OperatorId>,
    result: Option<(OperatorId, String)>,
) -> Vec<String> {
    let mut lines = vec![
        "digraph dataflow {".to_owned(),
        "  node [shape=box, fontname=\"sans-serif\", fontsize=11];".to_owned(),
    ];
    for id in nodes {
        let (label, shape) = node(words, words.node(*id));
        lines.push(format!("  n{} [label={}, shape={shape}];", id.0, quoted(&label)));
    }
    for id in nodes {
        for input in words.inputs(*id) {
            lines.push(format!("  n{} -> n{};", input.0, id.0));
        }
    }
    if let Some((from, what)) = result {
        lines.push(format!("  result [label={}, shape=plaintext];", quoted(&what)));
        lines.push(format!("  n{} -> result;", from.0));
    }
    lines.push("}".to_owned());
    lines
}

/// The label and the shape of a node.
fn node(words: &Words<'_>, node: &NodeSpec) -> (String, &'static str) {
    let key_of =
        |columns: &[Column], key: &[u16]| names(key.iter().map(|at| columns[usize::from(*at)].name.as_str()));
    if let Some(name) = words.read_as(node.id) {
        return (format!("rows of {}", plain(name)), "folder");
    }
    match &node.operator {
        Operator::Table(table) => {
            let table = &words.plan.tables[table.0 as usize];
            let columns = names(table.columns.iter().map(|column| column.name.as_str()));
            let label = format!("table {}\n{}", plain(&table.name), wrapped(&format!("({columns})")));
            (label, "cylinder")
        }
        Operator::View(spec) => match words.plan.views.get(spec.view.0 as usize) {
            Some(view) if words.is_whole() => {
                let key = match view.key.as_slice() {
                    [] => "all rows have one key".to_owned(),
                    key => format!("looked up by ({})", key_of(&view.columns, key)),
                };
                (format!("view {}\n{}", plain(&view.name), wrapped(&key)), "folder")
            }
            _ => ("result".to_owned(), "folder"),
        },
        operator => {
            let label = format!("#{} {}\n{}", node.id.0, operator_name(operator), wrapped(&words.what(node)));
            (label, if matches!(operator, Operator::Exchange(_)) { "cds" } else { "box" })
        }
    }
}

/// The text in lines that are not much longer than [`LINE_CHARACTERS`].
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        if length > 0 {
            let is_full = length + word.chars().count() > LINE_CHARACTERS;
            lines.push(if is_full { '\n' } else { ' ' });
            length = if is_full { 0 } else { length + 1 };
        }
        lines.push_str(word);
        length += word.chars().count();
    }
    lines
}

/// A text as Graphviz reads it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            control if control.is_control() => {}
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{quoted, wrapped};

    #[test]
    fn labels_are_quoted_and_wrapped() {
        assert_eq!(quoted("a \"b\" \\c\nd\u{1}"), r#""a \"b\" \\c\nd""#);
        let text = "one two three four five six seven eight nine ten";
        assert_eq!(wrapped(text), "one two three four five six seven\neight nine ten");
    }
}
