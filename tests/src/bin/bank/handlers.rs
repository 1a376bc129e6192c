//! The handlers, the same ones on either database.

/// A module of handlers for each database. `$open` makes its store. `$pause` is a statement that takes `$1`
/// milliseconds, or on SQLite as long as there is another writer.
macro_rules! handlers {
    ($name:ident, $db:ty, $store:ty, $open:expr, $pause:expr) => {
        pub(crate) mod $name {
            use std::time::Duration;

            use axum::{
                Json, Router,
                extract::{FromRef, State},
                routing::post,
            };
            use cratestack_runtime::{EventKind, Idempotency, RedisStore, Tx, idempotent};
            use sqlx::{Database, Pool};

            use crate::{
                Settings,
                ledger::Ledger,
                order::{Charged, Failed, Order, Receipt},
                purchase::{self, Provider},
            };

            #[derive(Clone, FromRef)]
            struct Bank {
                transactions: Idempotency<$store>,
                reservations: Idempotency,
                pool: Pool<$db>,
                ledger: Ledger,
            }

            pub(crate) fn router(pool: Pool<$db>, settings: &Settings, ledger: Ledger) -> Router {
                let Settings { tuned, reserves, lease, store_timeout, provider, cluster } = settings.clone();
                let cache = if tuned { 1 << 20 } else { 0 };
                let open: fn(Pool<$db>, bool) -> $store = $open;
                let mut transactions = Idempotency::transactional(open(pool.clone(), tuned))
                    .store_timeout(store_timeout)
                    .replay_cache_bytes(cache);
                if let Some(lease) = lease {
                    transactions = transactions.lease(lease);
                }
                let reservations = match cluster {
                    Some(cluster) => reservations(cluster, lease, ledger.clone())
                        .store_timeout(store_timeout)
                        .replay_cache_bytes(cache),
                    None => transactions.clone().into(),
                };
                let purchases =
                    |provider: Provider| purchase::$name::router(transactions.clone(), ledger.clone(), provider);
                let purchases = provider.map(purchases).unwrap_or_default();
                Router::new()
                    .route("/transaction/payments", post(pay))
                    .route("/waiting/payments", post(pay_in_turn))
                    .route("/transaction/transfers", post(transfer))
                    .route("/serializable/transfers", post(transfer_serially))
                    .route("/reservation/payments", post(pay_reserved))
                    .route("/beside/payments", if reserves { post(pay_beside) } else { post(pay) })
                    .route("/leased/payments", post(pay_leased))
                    .route("/leased/charges", post(charge_leased))
                    .with_state(Bank { transactions, reservations, pool, ledger })
                    .merge(purchases)
            }

            fn reservations(cluster: RedisStore, lease: Option<Duration>, ledger: Ledger) -> Idempotency {
                let idempotency = Idempotency::new(cluster).on_event(move |event| {
                    if let EventKind::Recorded { .. } = event.kind {
                        ledger.recorded(event.key);
                    }
                });
                match lease {
                    Some(lease) => idempotency.lease(lease),
                    None => idempotency,
                }
            }

            type Connection = <$db as Database>::Connection;

            async fn write_payment(books: &mut Connection, order: &Order) -> Result<Receipt, Failed> {
                order.hesitate().await;
                let row = sqlx::query_scalar("INSERT INTO payments (key, amount) VALUES ($1, $2) RETURNING id")
                    .bind(&order.key)
                    .bind(order.amount)
                    .fetch_one(&mut *books)
                    .await?;
                take_time(books, order).await?;
                order.conclude(row).await
            }

            async fn write_transfer(books: &mut Connection, order: &Order) -> Result<Receipt, Failed> {
                order.hesitate().await;
                let taken = sqlx::query("UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1")
                    .bind(order.amount)
                    .bind(order.source)
                    .execute(&mut *books)
                    .await?;
                if taken.rows_affected() == 0 {
                    return Err(Failed::Declined);
                }
                take_time(books, order).await?;
                sqlx::query("UPDATE accounts SET balance = balance + $1 WHERE id = $2")
                    .bind(order.amount)
                    .bind(order.target)
                    .execute(&mut *books)
                    .await?;
                let transfer =
                    "INSERT INTO transfers (key, source, target, amount) VALUES ($1, $2, $3, $4) RETURNING id";
                let row = sqlx::query_scalar(transfer)
                    .bind(&order.key)
                    .bind(order.source)
                    .bind(order.target)
                    .bind(order.amount)
                    .fetch_one(&mut *books)
                    .await?;
                order.conclude(row).await
            }

            async fn take_time(books: &mut Connection, order: &Order) -> Result<(), Failed> {
                if order.within > 0 {
                    let milliseconds = i64::try_from(order.within).unwrap_or(i64::MAX);
                    sqlx::query($pause).bind(milliseconds).execute(books).await?;
                }
                Ok(())
            }

            // The lease is far longer than the harness has patience: whoever dies must free the key before it ends.
            #[idempotent(transaction, lease = "1h")]
            async fn pay(mut tx: Tx<$db>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                write_payment(&mut tx, &order).await
            }

            #[idempotent(transaction, lease = "1h", wait = "10s")]
            async fn pay_in_turn(mut tx: Tx<$db>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                write_payment(&mut tx, &order).await
            }

            #[idempotent(transaction, lease = "1h")]
            async fn transfer(mut tx: Tx<$db>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                write_transfer(&mut tx, &order).await
            }

            #[idempotent(transaction, lease = "1h", isolation = serializable, retry = 3)]
            async fn transfer_serially(mut tx: Tx<$db>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                write_transfer(&mut tx, &order).await
            }

            /// The same request as in a transaction elsewhere.
            #[idempotent(lease = "1h")]
            async fn pay_beside(State(pool): State<Pool<$db>>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                write_payment(&mut *pool.acquire().await?, &order).await
            }

            // Here a key is free only when the lease has ended.
            #[idempotent(lease = "2s")]
            async fn pay_reserved(State(pool): State<Pool<$db>>, Json(order): Json<Order>) -> Result<Receipt, Failed> {
                // Each statement is a commit of its own, so what follows the effect is time for a crash before the
                // record.
                write_payment(&mut *pool.acquire().await?, &order).await
            }

            #[idempotent(transaction)]
            async fn pay_leased(
                mut tx: Tx<$db>,
                State(ledger): State<Ledger>,
                Json(order): Json<Order>,
            ) -> Result<Receipt, Failed> {
                let _running = ledger.begin(&order.key, order.amount);
                write_payment(&mut tx, &order).await
            }

            /// Its effect is elsewhere: the line in the ledger. With `within`, it holds a connection of the pool
            /// meanwhile.
            #[idempotent]
            async fn charge_leased(
                State(ledger): State<Ledger>,
                State(pool): State<Pool<$db>>,
                Json(order): Json<Order>,
            ) -> Result<Charged, Failed> {
                let running = ledger.begin(&order.key, order.amount);
                order.hesitate().await;
                if order.within > 0 {
                    take_time(&mut *pool.acquire().await?, &order).await?;
                }
                order.linger().await;
                Ok(Charged { run: running.name().to_owned(), amount: order.amount })
            }
        }
    };
}

handlers!(
    postgres,
    sqlx::Postgres,
    cratestack_runtime::PostgresStore,
    |pool, tuned| cratestack_runtime::PostgresStore::new(pool).group_commit(tuned),
    "SELECT pg_sleep($1::bigint / 1000.0::double precision)"
);
handlers!(
    sqlite,
    sqlx::Sqlite,
    cratestack_runtime::SqliteStore,
    |pool, tuned| cratestack_runtime::SqliteStore::new(pool).group_commit(tuned),
    // For as long as somebody else writes.
    "UPDATE accounts SET balance = balance WHERE id = 0 AND $1 > 0"
);
