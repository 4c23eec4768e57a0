//! Top-k per group.
