use axum::{Router, http::StatusCode, routing::post};
use cratestack_runtime::{Idempotency, SqliteStore, Tx, idempotent, testing::Service};
use sqlx::{Sqlite, SqlitePool};

#[idempotent(transaction)]
async fn pay(mut tx: Tx<Sqlite>, amount: String) -> Result<String, (StatusCode, &'static str)> {
    let payment = sqlx::query("INSERT INTO payments VALUES ($1)").bind(&amount);
    payment.execute(&mut *tx).await.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "not paid"))?;
    Ok(format!("paid {amount}"))
}

fn app(idempotency: Idempotency<SqliteStore>) -> Router {
    Router::new().route("/payments", post(pay)).with_state(idempotency)
}

#[tokio::test]
async fn crashed_before_the_commit_it_has_paid_nothing() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?; // in memory, a database would end with its process
    let pool = SqlitePool::connect(&format!("sqlite://{}/test.db?mode=rwc", folder.path().display())).await?;
    sqlx::query("CREATE TABLE payments (amount TEXT)").execute(&pool).await?;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await?;

    let service = Service::transactional(store, app);
    let payment = service.post("/payments").key("k1").body("5");
    payment.crash_before_recording().await;
    payment.twice().await; // at once: the key went with the transaction
    let payments: Vec<String> = sqlx::query_scalar("SELECT amount FROM payments").fetch_all(&pool).await?;
    assert_eq!(payments, ["5"]);
    Ok(())
}
