//! What every door promises, in one suite that runs over each of them, and what the layer promises beside that.

// A test panics where its expectation fails.
#![allow(clippy::unwrap_used)]

mod door;
mod function;
mod handler;
mod handler_with_handle;
mod layer;
mod layer_alone;
mod layer_and_attribute;
mod layer_and_transaction;
mod log;
mod places;
mod promises;
mod web;
mod work;
