//! `handle = …` in a transaction: typed by the store, whichever the database.

use std::sync::Arc;

use axum::extract::State;
use axum::{Router, routing::post};
use cratestack_runtime::{
    Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, TransactionalDatabase, Tx, idempotent,
};
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

/// Its steps may be transactions, and the state provides no handle.
#[idempotent(handle = app.on_postgres, state = Arc<App>)]
async fn in_steps(reservation: Reservation<Postgres>, State(app): State<Arc<App>>, body: String) -> String {
    drop(app);
    reservation.key().to_owned() + &body
}

#[idempotent(handle = app.handle(), optional)]
async fn in_steps_at_times(State(app): State<Arc<App>>, reservation: Option<Reservation<Sqlite>>) {
    drop((app, reservation));
}

#[idempotent(handle = ledger.idempotency)]
async fn generic_in_steps<DB: TransactionalDatabase>(
    State(ledger): State<Arc<Ledger<DB>>>,
    reservation: Reservation<DB>,
    body: String,
) -> String {
    drop((reservation, ledger));
    body
}

#[idempotent(transaction, handle = app.on_sqlite)]
async fn in_transaction(tx: Tx<Sqlite>, it: Reservation<InTransaction>, State(app): State<Arc<App>>) {
    drop((tx, it, app));
}

fn main() {
    let _: Router<Arc<App>> = Router::new()
        .route("/1", post(first))
        .route("/2", post(second))
        .route("/3", post(behind_an_alias))
        .route("/4", post(leased))
        .route("/5", post(in_steps))
        .route("/6", post(in_steps_at_times))
        .route("/7", post(in_transaction));
    let _: Router<Arc<Ledger<Postgres>>> =
        Router::new().route("/1", post(generic::<Postgres>)).route("/2", post(generic_in_steps::<Postgres>));
    let _: Router<Arc<Ledger<Sqlite>>> =
        Router::new().route("/1", post(generic::<Sqlite>)).route("/2", post(generic_in_steps::<Sqlite>));
}
