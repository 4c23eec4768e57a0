//! Real processes, real logs, real rings: what happens to the data and to the clients when parts are killed.

mod database;
mod deaths;
mod definitions;
mod faults;
mod fronts;
mod log_faults;
mod quarantine;
mod reads;
mod strangers;
