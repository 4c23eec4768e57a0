//! The binary as people use it: its command line, its server, and the demo with shards that are really killed.
#![forbid(unsafe_code)]

mod alter;
mod auth;
mod command_line;
mod counters;
mod demo;
mod describe;
mod failing;
mod killer;
mod locking;
mod prepare;
mod process;
mod random;
mod ranges;
mod serve;
mod server;
mod settings;
mod slt_files;
mod wire;
