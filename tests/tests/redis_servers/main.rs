//! The servers of Redis that tests bring do what their names say.

#![expect(clippy::unwrap_used)]

mod cluster;
mod power;
mod replicas;
mod sentinels;
mod single;
mod tls;
