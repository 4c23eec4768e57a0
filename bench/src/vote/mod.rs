//! `sakia bench vote`: votes on stories and lookups of their counts.

#[cfg(test)]
mod fake;
mod generator;
mod lane;
mod port;
mod probe;
mod reads;
mod results;
mod workload;
