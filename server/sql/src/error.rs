//! What is refused: with a SQLSTATE, what is wrong, where, and what to do.

use operators::PlanError;
use sqlparser::tokenizer::{Location, Span};

/// A statement, a value or a catalogue entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// The five characters that drivers branch on.
    pub sqlstate: &'static str,
    /// What is wrong.
    pub message: String,
    /// More about it.
    pub detail: Option<Box<str>>,
    /// What to do instead.
    pub hint: Option<Box<str>>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
    /// Where, until the text is known from which it is counted.
    pub(crate) location: Option<Location>,
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    /// An error with this SQLSTATE and message.
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        SqlError {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            location: None,
        }
    }

    /// SQL that is understood but not carried out; `what` names it.
    pub fn unsupported(what: impl std::fmt::Display) -> Self {
        SqlError::new("0A000", format!("{what} is not supported"))
    }

    /// Text that is not SQL.
    pub fn syntax(message: impl Into<String>) -> Self {
        SqlError::new("42601", message)
    }

    /// Types that do not fit together.
    pub fn types(message: impl Into<String>) -> Self {
        SqlError::new("42804", message)
    }

    /// With advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// With more about it.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into().into_boxed_str());
        self
    }

    /// At this place, unless a closer one is known.
    pub(crate) fn at(mut self, span: Span) -> Self {
        if self.location.is_none() && span.start.line > 0 {
            self.location = Some(span.start);
        }
        self
    }

    /// Counts the position in `text`, from which the statement was parsed.
    pub(crate) fn located(mut self, text: &str) -> Self {
        if let (None, Some(location)) = (self.position, self.location.take()) {
            let before: usize = text
                .split_inclusive('\n')
                .take(location.line.saturating_sub(1) as usize)
                .map(|line| line.chars().count())
                .sum();
            self.position = Some(before + location.column as usize);
        }
        self
    }
}

impl From<PlanError> for SqlError {
    fn from(error: PlanError) -> Self {
        let sqlstate = match &error {
            PlanError::UnknownColumn { .. } => "42703",
            PlanError::UnknownTable { .. } | PlanError::UnknownView { .. } => "42P01",
            PlanError::Type { .. } => "42804",
            _ => "54000",
        };
        SqlError::new(sqlstate, error.to_string())
    }
}
