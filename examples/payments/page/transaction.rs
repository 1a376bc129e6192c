//! The handler with a transaction needs a handle that knows its database, and so there is one for each.

use axum::{
    extract::FromRef,
    routing::{MethodRouter, post},
};
use cratestack_runtime::{Idempotency, PostgresStore, SqliteStore};

use super::{Events, Shop, transaction_on_postgres, transaction_on_sqlite};

pub(crate) enum Transactions {
    Postgres(Idempotency<PostgresStore>),
    Sqlite(Idempotency<SqliteStore>),
}

impl Transactions {
    pub(super) fn route(self, shop: &Shop) -> MethodRouter {
        let events = shop.events.clone();
        match self {
            Self::Postgres(idempotency) => post(transaction_on_postgres::pay).with_state(Till { idempotency, events }),
            Self::Sqlite(idempotency) => post(transaction_on_sqlite::pay).with_state(Till { idempotency, events }),
        }
    }

    pub(super) fn source(&self) -> &'static str {
        match self {
            Self::Postgres(_) => include_str!("transaction_on_postgres.rs"),
            Self::Sqlite(_) => include_str!("transaction_on_sqlite.rs"),
        }
    }
}

struct Till<S> {
    idempotency: Idempotency<S>,
    events: Events,
}

impl<S> Clone for Till<S> {
    fn clone(&self) -> Self {
        Self { idempotency: self.idempotency.clone(), events: self.events.clone() }
    }
}

impl<S> FromRef<Till<S>> for Idempotency<S> {
    fn from_ref(till: &Till<S>) -> Self {
        till.idempotency.clone()
    }
}

impl<S> FromRef<Till<S>> for Events {
    fn from_ref(till: &Till<S>) -> Self {
        till.events.clone()
    }
}
