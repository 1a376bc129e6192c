//! What the tests across the crates stand on: a real Postgres and a real Redis that they bring themselves, a way to
//! them that can be cut, real services as processes, a client that can misbehave, and a real browser.
//!
//! Nothing here skips. Where something is missing on the machine, the test fails and says what to run.

pub mod browser;
pub mod client;
pub mod fleet;
mod keeper;
pub mod nats;
mod packages;
pub mod postgres;
mod proxy;
pub mod redis;
pub mod service;
pub mod shell;
mod three_methods;

pub use browser::{Browser, Page};
pub use client::{Answer, Client};
pub use nats::{Nats, NatsServer};
pub use postgres::{PostgresServer, TestDatabase};
pub use proxy::{Proxy, Way};
pub use redis::{RedisCluster, RedisOptions, RedisReplicas, RedisSentinels, RedisServer, TestRedis};
pub use service::{Service, Settings, Worker};
pub use three_methods::ThreeMethods;
