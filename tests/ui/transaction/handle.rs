//! `handle = …` in a transaction: typed by the store, whichever the database.

use std::sync::Arc;

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, PostgresStore, SqliteStore, TransactionalDatabase, Tx, idempotent};
use sqlx::{Postgres, Sqlite};

pub struct App {
    on_postgres: Idempotency<PostgresStore>,
    on_sqlite: Idempotency<SqliteStore>,
}

impl App {
    fn handle(&self) -> &Idempotency<SqliteStore> {
        &self.on_sqlite
    }
}

#[idempotent(transaction, handle = app.on_postgres)]
async fn first(mut tx: Tx<Postgres>, State(app): State<Arc<App>>, body: String) -> String {
    let _ = (&mut *tx, app);
    body
}

#[idempotent(transaction, retry = 3, handle = app.handle(), state = Arc<App>)]
async fn second(State(app): State<Arc<App>>, tx: Tx<Sqlite>) {
    drop((app, tx));
}

/// The name of a type of one's own hides which transaction it is.
type Writer = Tx<Sqlite>;

#[idempotent(transaction, handle = app.on_sqlite, commit = all, key = body)]
async fn behind_an_alias(tx: Writer, State(app): State<Arc<App>>, body: String) -> String {
    drop((tx, app));
    body
}

#[idempotent(handle = app.on_postgres)]
async fn leased(State(app): State<Arc<App>>, body: String) -> String {
    drop(app);
    body
}

pub struct Ledger<DB: TransactionalDatabase> {
    idempotency: Idempotency<DB::Store>,
}

#[idempotent(transaction, handle = ledger.idempotency)]
async fn generic<DB: TransactionalDatabase>(tx: Tx<DB>, State(ledger): State<Arc<Ledger<DB>>>, body: String) -> String {
    drop((tx, ledger));
    body
}

fn main() {
    let _: Router<Arc<App>> = Router::new()
        .route("/1", post(first))
        .route("/2", post(second))
        .route("/3", post(behind_an_alias))
        .route("/4", post(leased));
    let _: Router<Arc<Ledger<Postgres>>> = Router::new().route("/1", post(generic::<Postgres>));
    let _: Router<Arc<Ledger<Sqlite>>> = Router::new().route("/1", post(generic::<Sqlite>));
}
