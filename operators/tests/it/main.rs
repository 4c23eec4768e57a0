//! The operators as a whole: laws, oracle, shards, rows, refusals.

mod law;
mod oracle;
mod plans;
mod random;
mod ranges;
mod rows;
mod scans;
mod several;
mod sharded;
mod tables;
