//! `#[idempotent(transaction)]`: what a handler writes and its recorded outcome are committed together, or not at all.

#![allow(clippy::unused_async, clippy::unwrap_used)]

mod bank;
mod either_database;
mod hidden_causes;
mod meddling;
mod messages;
mod names;
mod postgres;
mod unknown;
