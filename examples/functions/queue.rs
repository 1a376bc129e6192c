//! A queue's consumer that charges for each order once, however often it is delivered, and whenever it is killed:
//! `DATABASE_URL=postgres://… cargo run --manifest-path examples/functions/Cargo.toml --bin queue`.

use std::{env, error::Error, time::Duration};

use async_nats::jetstream::{self, AckKind, Message, consumer::pull, stream};
use cratestack_runtime::{GuardError, Idempotency, PostgresStore, Tx, idempotent};
use futures_util::StreamExt as _;
use sqlx::{PgPool, Postgres, query, query_scalar, raw_sql};

#[derive(serde::Deserialize)]
struct Order {
    id: String,
    account: String,
    cents: i64,
}

#[derive(Debug, thiserror::Error)]
enum ChargeError {
    #[error("there is no account {0:?}")]
    NoSuchAccount(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Guard(#[from] GuardError),
}

type Handle = Idempotency<PostgresStore>;

/// The debit, the charge, and that this order is charged are one commit. An order that comes again gets its number,
/// which is kept for longer than the queue keeps a message.
#[idempotent(
    name = "charge",
    handle = handle,
    key = order.id,
    fingerprint = (&order.account, order.cents),
    ttl = "48h",
    transaction
)]
async fn charge(handle: &Handle, order: &Order, mut tx: Tx<Postgres>) -> Result<i64, ChargeError> {
    let debit = "UPDATE accounts SET cents = cents - $2 WHERE name = $1";
    let debited = query(debit).bind(&order.account).bind(order.cents).execute(&mut *tx).await?;
    if debited.rows_affected() == 0 {
        return Err(ChargeError::NoSuchAccount(order.account.clone()));
    }
    let charge = "INSERT INTO charges (order_id, cents) VALUES ($1, $2) RETURNING id";
    Ok(query_scalar(charge).bind(&order.id).bind(order.cents).fetch_one(&mut *tx).await?)
}

/// What becomes of the message: it is done, it is to come again, or it would fare no better if it did.
async fn consume(handle: &Handle, message: &Message) -> AckKind {
    let order: Order = match serde_json::from_slice(&message.payload) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("given up, a message that is no order: {error}");
            return AckKind::Term;
        }
    };
    match charge(handle, &order).await {
        Ok(charge) => {
            println!("order {} is charge {charge}", order.id);
            return AckKind::Ack;
        }
        Err(ChargeError::Guard(error)) if !error.may_retry() => eprintln!("given up, order {}: {error}", order.id),
        Err(error @ ChargeError::NoSuchAccount(_)) => eprintln!("given up, order {}: {error}", order.id),
        Err(error) => {
            eprintln!("later, order {}: {error}", order.id);
            return AckKind::Nak(Some(Duration::from_secs(1)));
        }
    }
    AckKind::Term
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = PgPool::connect(&env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to a Postgres")?).await?;
    let tables = "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, cents BIGINT NOT NULL);
        CREATE TABLE IF NOT EXISTS charges (id BIGSERIAL, order_id TEXT NOT NULL, cents BIGINT NOT NULL)";
    raw_sql(tables).execute(&pool).await?;
    let store = PostgresStore::new(pool);
    store.migrate().await?;
    let handle = Idempotency::transactional(store);

    let nats = async_nats::connect(env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned())).await?;
    let name = env::var("STREAM").unwrap_or_else(|_| "orders".to_owned());
    let stream = stream::Config { max_age: Duration::from_hours(24), name: name.clone(), ..Default::default() };
    let stream = jetstream::new(nats).get_or_create_stream(stream).await?;
    let consumer = pull::Config { durable_name: Some("charge".to_owned()), ..Default::default() };
    let consumer = stream.get_or_create_consumer("charge", consumer).await?;
    // No more are fetched than are worked on, so that none waits here while its time to be acknowledged passes.
    let messages = consumer.stream().max_messages_per_batch(16).messages().await?;
    println!("consuming {name}");
    let consumed = messages.for_each_concurrent(16, |message| async {
        let acknowledged = match message {
            Ok(message) => message.ack_with(consume(&handle, &message).await).await,
            Err(error) => Err(error.into()),
        };
        acknowledged.unwrap_or_else(|error| eprintln!("the queue: {error}"));
    });
    consumed.await;
    Err("the consumer is gone from the queue".into())
}
