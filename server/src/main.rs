//! The command `sakia`.
#![forbid(unsafe_code)]
fn main() {}
