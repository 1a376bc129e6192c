//! Plain steps of a service's handlers: what a run has done and recorded, the next attempt does not do again.
//!
//! `world` is a service of two steps, whose runs meet a fate between them. `attempts` has what becomes of the second
//! attempt, over each store; `refusals` what a step itself has to say; `rows` what is in the table, and for how long;
//! `outages` a database that goes away and comes back; `cost` what all of it takes of a database.

#![allow(clippy::unwrap_used)]

mod attempts;
mod cost;
mod outages;
mod refusals;
mod rows;
mod world;
