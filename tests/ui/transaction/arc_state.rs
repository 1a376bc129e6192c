//! A state in an `Arc`, with handlers of both kinds and of both databases.

#![deny(warnings)]

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request, State};
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, SqliteStore, Tx, idempotent};
use sqlx::{Postgres, Sqlite};

#[derive(FromRef)]
struct App {
    on_postgres: Idempotency<PostgresStore>,
    on_sqlite: Idempotency<SqliteStore>,
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.on_postgres.clone().into()
    }
}

struct Doc;

impl FromRequest<Arc<App>, Body> for Doc {
    type Rejection = std::convert::Infallible;

    async fn from_request(_: Request, _: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

#[idempotent(transaction)]
async fn on_postgres(_: Tx<Postgres>, State(_): State<Arc<App>>, _: Doc) {}

#[idempotent(transaction, state = Arc<App>)]
async fn on_sqlite(_: Tx<Sqlite>, _: String) {}

#[idempotent]
async fn leased(_: Doc) {}

fn main() {
    let _: Router<Arc<App>> = Router::new().route("/", post(on_postgres).put(on_sqlite).patch(leased));
}
