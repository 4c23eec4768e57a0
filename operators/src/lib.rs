//! Rows, plans and operators.
#![forbid(unsafe_code)]
