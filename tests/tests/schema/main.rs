//! From the code to the database: names, drift, upgrades under traffic, partitions, and the command.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod command;
mod databases;
mod drift;
mod names;
mod partitions;
mod sqlite_drift;
mod upgrade;
