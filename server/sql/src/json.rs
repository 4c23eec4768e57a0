//! JSON as it comes in.

use crate::error::{Result, SqlError};

/// The canonical text of the JSON value in `text`.
pub(crate) fn canonical(text: &str) -> Result<String> {
    operators::expr::json::canonical(text).map_err(|at| {
        SqlError::new("22P02", "invalid input syntax for type json")
            .detail(format!("It is not JSON from byte {} on.", at + 1))
    })
}
