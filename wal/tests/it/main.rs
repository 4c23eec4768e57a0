//! Tests of the log from the outside: against a simulated disk, and on real files.

mod appender;
mod crash;
mod damage;
mod disk;
mod live;
mod synchronous;
