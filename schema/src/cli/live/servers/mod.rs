//! `check` and `stats` of a server of Valkey or Redis, or of a Cluster.

mod arguments;
#[cfg(feature = "redis")]
mod check;
#[cfg(feature = "redis")]
mod connection;
#[cfg(feature = "redis")]
mod counts;
#[cfg(feature = "redis")]
mod error;
#[cfg(feature = "redis")]
mod stats;
#[cfg(feature = "redis")]
mod url;

pub use self::arguments::{NoServers, Servers};
#[cfg(feature = "redis")]
pub use self::{check::check, stats::stats};
