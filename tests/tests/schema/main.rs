//! From the data of `cratestack-schema` to real databases: names, migrations, drift, the command line.

#![allow(clippy::unwrap_used)]

mod command;
mod databases;
mod docs;
mod drift;
mod held_up_upgrade;
mod names;
mod operations_page;
mod operator;
mod partitions;
mod servers;
mod tools;
mod upgrade;
