//! Transaction steps of a service's handlers: what such a step writes and its record are one commit.
//!
//! `world` is a service with a provider, a transaction and a shipment, whose runs meet fates on their way. `either` has
//! what holds on either database; `rivals` a run that has lost its key; `commits` a commit that is lost, or its answer;
//! `named_handle` the same under `handle = …`; `refusals` what a transaction step itself has to say on Postgres; `cost` what it takes.

#![allow(clippy::unwrap_used)]

mod commits;
mod cost;
mod either;
mod named_handle;
mod refusals;
mod rivals;
mod world;
