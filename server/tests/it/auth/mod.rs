//! Who is let in: roles, passwords, and what strangers may do until they have proved who they are.

mod raw;
mod roles;
mod server;
mod startup;
mod tls;
