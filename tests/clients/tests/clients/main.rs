//! Real clients against a real service, over a wire on which things go wrong. docs/clients.md has what comes of it.
//!
//! Nothing here skips: where curl, Python or Node is missing, a test fails and says what to install.

#![forbid(unsafe_code)]

mod facts;
mod page;
mod programs;
mod retries;
mod rust;
mod sameness;
mod stage;
mod stripe;
mod till;
mod toolbox;
mod uploads;
mod wire;

#[path = "../../../src/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../../../src/service.rs"]
#[allow(dead_code)]
mod service;

use client::Client;
