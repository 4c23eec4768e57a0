//! Distinct rows.
