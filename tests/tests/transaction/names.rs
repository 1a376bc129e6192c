//! Whose a key is, and which keys are one, where the handler runs in a transaction.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Json, State};
use axum::http::StatusCode;
use axum::routing::post as on_post;
use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Idempotency, InTransaction, PostgresStore, Reservation, SqliteStore, Tx, idempotent};
use cratestack_tests::TestDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Postgres, Sqlite, SqlitePool};
use tokio::sync::Barrier;

use crate::bank::{Answer, post};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency<SqliteStore>,
}

type Paid = Result<StatusCode, StatusCode>;

async fn write(tx: &mut Tx<Sqlite>) -> Paid {
    let insert = sqlx::query("INSERT INTO payments VALUES (100)").execute(&mut **tx).await;
    insert.map(|_| StatusCode::CREATED).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[idempotent(transaction, key = order)]
async fn order(mut tx: Tx<Sqlite>, Json(order): Json<Option<String>>) -> Paid {
    drop(order);
    write(&mut tx).await
}

#[idempotent(transaction, optional, retry = 1, key = order)]
async fn perhaps(
    reservation: Option<Reservation<InTransaction>>,
    mut tx: Tx<Sqlite>,
    Json(order): Json<Option<String>>,
) -> Paid {
    let has_key = reservation.is_some_and(|reservation| !reservation.key().is_empty());
    assert_eq!(has_key, order.is_some_and(|order| !order.is_empty()));
    write(&mut tx).await
}

#[idempotent(transaction, principal = user)]
async fn of_user(mut tx: Tx<Sqlite>, Json(user): Json<Option<String>>) -> Paid {
    drop(user);
    write(&mut tx).await
}

#[tokio::test]
async fn nothing_names_nobody_in_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("shop.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    sqlx::raw_sql("CREATE TABLE payments (amount INTEGER)").execute(&pool).await.unwrap();
    let router = Router::new()
        .route("/order", on_post(order))
        .route("/perhaps", on_post(perhaps))
        .route("/user", on_post(of_user))
        .with_state(Shop { idempotency: Idempotency::transactional(store) });
    let send = async |path: &str, body: &str, key: Option<&str>| json(&router, path, body, key).await;
    for nothing in ["null", "\"\""] {
        assert_eq!(send("/order", nothing, None).await.code(), "idempotency_key_missing");
        assert_eq!(send("/user", nothing, Some("k")).await.code(), "idempotency_caller_unknown");
    }
    assert_eq!(payments(&pool).await, 0);
    for (nothing, paid) in [("null", 1), ("null", 2), ("\"\"", 3)] {
        let unguarded = send("/perhaps", nothing, None).await;
        assert_eq!((unguarded.status, unguarded.is_replay()), (StatusCode::CREATED, false), "{unguarded:?}");
        assert_eq!(payments(&pool).await, paid);
    }
    for (path, key) in [("/order", None), ("/perhaps", None), ("/user", Some("k"))] {
        assert!(!send(path, "\"a\"", key).await.is_replay(), "{path}");
        assert!(send(path, "\"a\"", key).await.is_replay(), "{path}");
    }
    assert_eq!(payments(&pool).await, 6);
}

/// `/order` and `/perhaps` have one key space, and paths of their own.
async fn json(router: &Router, path: &str, body: &str, key: Option<&str>) -> Answer {
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let caller = format!("Bearer {path}");
    let request = Request::post(path).header("authorization", caller).header("content-type", "application/json");
    let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
    let response =
        router.clone().oneshot(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn payments(pool: &SqlitePool) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM payments").fetch_one(pool).await.unwrap()
}

#[derive(Clone, FromRef)]
struct Service {
    idempotency: Idempotency<PostgresStore>,
    meet: Arc<Barrier>,
}

#[idempotent(transaction, lease = "5s")]
async fn pay(tx: Tx<Postgres>, State(meet): State<Arc<Barrier>>) -> StatusCode {
    meet.wait().await;
    drop(tx);
    StatusCode::CREATED
}

/// The database's locks know no schema: only the namespace tells the keys of two tables of one name apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn namespaces_keep_two_schemas_out_of_each_others_way() {
    let database = TestDatabase::create().await;
    let meet = Arc::new(Barrier::new(2));
    let service = async |name: &str| {
        let pool = PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&pool).await.unwrap();
        let store =
            PostgresStore::new(pool).table(TableName::new(Some(name), "cratestack_idempotency").unwrap()).unwrap();
        store.migrate().await.unwrap();
        let idempotency = Idempotency::transactional(store).namespace(name).unwrap();
        Router::new().route("/pay", on_post(pay)).with_state(Service { idempotency, meet: Arc::clone(&meet) })
    };
    let (orders, payments) = (service("orders").await, service("payments").await);
    // Both handlers are in their transactions before either ends.
    let (one, other) = tokio::join!(post(&orders, "/pay", Some("k"), "100"), post(&payments, "/pay", Some("k"), "100"));
    assert_eq!((one.status, other.status), (StatusCode::CREATED, StatusCode::CREATED), "{one:?} {other:?}");
    for router in [&orders, &payments] {
        assert!(post(router, "/pay", Some("k"), "100").await.is_replay());
    }
}
