//! What can go wrong: a plan that does not fit together, a write that the schema forbids, a lookup of nothing.

use crate::expr::NoValue;
use crate::plan::Column;
use crate::row::RowError;

/// A plan is wrong. The message names the operator and what there is instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A column is named that the operator's input does not have.
    #[error("{operator}: there is no column {column:?}, only {}", names(available))]
    UnknownColumn {
        /// The operator that names it.
        operator: String,
        /// The name.
        column: String,
        /// The columns of the input.
        available: Vec<String>,
    },
    /// A table is named that the plan does not have.
    #[error("there is no table {table:?}, only {}", names(available))]
    UnknownTable {
        /// The name.
        table: String,
        /// The tables of the plan.
        available: Vec<String>,
    },
    /// A view is named that the plan does not have.
    #[error("there is no view {view:?}, only {}", names(available))]
    UnknownView {
        /// The name.
        view: String,
        /// The views of the plan.
        available: Vec<String>,
    },
    /// Types do not fit.
    #[error("{operator}: {message}")]
    Type {
        /// The operator.
        operator: String,
        /// What does not fit.
        message: String,
    },
    /// Anything else: duplicate names, empty lists, limits.
    #[error("{operator}: {message}")]
    Invalid {
        /// The operator.
        operator: String,
        /// What is wrong.
        message: String,
    },
}

impl PlanError {
    /// A column that is not among `columns`. The operator is filled in by [`PlanError::in_operator`].
    pub fn unknown_column(column: &str, columns: &[Column]) -> Self {
        PlanError::UnknownColumn {
            operator: String::new(),
            column: column.to_owned(),
            available: columns.iter().map(|column| column.name.clone()).collect(),
        }
    }

    /// Types that do not fit. The operator is filled in by [`PlanError::in_operator`].
    pub fn types(message: impl Into<String>) -> Self {
        PlanError::Type { operator: String::new(), message: message.into() }
    }

    /// Another mistake. The operator is filled in by [`PlanError::in_operator`].
    pub fn invalid(message: impl Into<String>) -> Self {
        PlanError::Invalid { operator: String::new(), message: message.into() }
    }

    /// Names the operator that the error belongs to, unless it is named already.
    pub fn in_operator(mut self, name: &str) -> Self {
        match &mut self {
            PlanError::UnknownColumn { operator, .. }
            | PlanError::Type { operator, .. }
            | PlanError::Invalid { operator, .. }
                if operator.is_empty() =>
            {
                name.clone_into(operator);
            }
            _ => {}
        }
        self
    }
}

/// A write is refused; nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The table does not exist.
    #[error("there is no table {0}")]
    UnknownTable(u32),
    /// The table existed once.
    #[error("table {0:?} has been dropped")]
    DroppedTable(String),
    /// A row does not fit the table's columns.
    #[error("table {table:?}: {error}")]
    Malformed {
        /// The table.
        table: String,
        /// The row and what is wrong with it.
        error: RowError,
    },
    /// An inserted key is there already, or twice in the same write.
    #[error("table {table:?} already has a row with the key {key}")]
    DuplicateKey {
        /// The table.
        table: String,
        /// The key, as text.
        key: String,
    },
    /// A row is to be replaced by one of another key, or by none.
    #[error("table {table:?}: the row with the key {key} can be replaced only by one with the same key")]
    Unpaired {
        /// The table.
        table: String,
        /// The key, as text.
        key: String,
    },
    /// A row is not, or no longer, what the write takes it for.
    #[error("table {table:?} has another row with the key {key}, or none")]
    Changed {
        /// The table.
        table: String,
        /// The key, as text.
        key: String,
    },
    /// More writes are to be made at once than that may be.
    #[error("{found} writes at once, where {most} may be")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The table has reached the size that its index can address.
    #[error("table {table:?} is full")]
    Full {
        /// The table.
        table: String,
    },
}

/// A lookup is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The view does not exist.
    #[error("there is no view {0}")]
    UnknownView(u32),
    /// The view existed once.
    #[error("view {0:?} has been dropped")]
    DroppedView(String),
    /// The view is new and lacks rows that were there before it.
    #[error("view {view:?} is being filled with the rows that were there before it: {percent} % are in")]
    Building {
        /// The view.
        view: String,
        /// How far it is on this shard.
        percent: u8,
    },
    /// Rows are wrong or missing, because an expression has no value on a row that they come from.
    #[error("view {view:?} cannot be read, since an expression before it has no value on some row: {reason}")]
    Failing {
        /// The view.
        view: String,
        /// Why it has none.
        reason: NoValue,
    },
    /// A range is asked for of a view that has no order.
    #[error("view {0:?} is read by whole keys only, not by ranges of them")]
    Unordered(String),
    /// The key does not fit the view's key columns.
    #[error("view {view:?}: the key does not fit: {error}")]
    Malformed {
        /// The view.
        view: String,
        /// What is wrong with it.
        error: RowError,
    },
}

fn names(available: &[String]) -> String {
    if available.is_empty() { "nothing".to_owned() } else { available.join(", ") }
}
