//! From the data of `cratestack-schema` to real databases: names, migrations, drift, the command line.

#![allow(clippy::unwrap_used)]

mod both;
mod command;
mod databases;
mod docs;
mod drift;
mod names;
mod partitions;
mod tools;
mod upgrade;
