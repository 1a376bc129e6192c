//! Calls within calls: each is guarded by itself, under its own key.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use cratestack_runtime::{
    GuardError, Idempotency, IdempotencyLayer, MemoryStore, PostgresStore, Reservation, SqliteStore, StoreError, Tx,
    idempotent,
};
use http_body_util::BodyExt;
use sqlx::{Postgres, Sqlite};
use tower::ServiceExt;

use crate::shop::{Order, Receipt, Shop, ShopError, order};

crate::over_all! {
    a_call_within_a_call_is_told_again_where_the_outer_one_runs_again,
    a_call_within_a_handler_is_guarded_by_itself,
    a_call_within_a_handler_below_the_layer_is_guarded_by_itself,
    a_call_of_itself_under_its_own_key_is_in_flight,
    steps_of_the_same_name_do_not_meet,
    where_one_may_run_the_inner_call_is_refused,
}

impl FromRef<Shop> for Idempotency {
    fn from_ref(shop: &Shop) -> Self {
        shop.idempotency.clone()
    }
}

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id)]
async fn charge(shop: &Shop, order: &Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(order))
}

#[idempotent(handle = shop.idempotency, name = "charge", key = order.id)]
async fn charge_owned(shop: Shop, order: Order) -> Result<Receipt, ShopError> {
    Ok(shop.charge(&order))
}

/// It counts in `shipped` how often it runs, and its first run fails behind its charges.
#[idempotent(handle = shop.idempotency, name = "ship", key = id)]
async fn ship(shop: &Shop, id: &str, shipped: &Mutex<usize>) -> Result<(usize, usize), ShopError> {
    let by_reference = charge(shop, &order(id)).await?;
    let other = charge_owned(shop.clone(), order(&format!("{id}, freight"))).await?;
    let run = {
        let mut shipped = shipped.lock().unwrap();
        *shipped += 1;
        *shipped
    };
    if run == 1 { Err(ShopError::Declined) } else { Ok((by_reference.charge, other.charge)) }
}

async fn a_call_within_a_call_is_told_again_where_the_outer_one_runs_again(one: Shop, other: Shop) {
    let shipped = Mutex::new(0);
    assert_eq!(ship(&one, "a", &shipped).await, Err(ShopError::Declined));
    assert_eq!((one.charges(), *shipped.lock().unwrap()), (2, 1));
    for shop in [&other, &one] {
        assert_eq!(ship(shop, "a", &shipped).await, Ok((1, 2)));
    }
    assert_eq!((one.charges(), *shipped.lock().unwrap()), (2, 2));
    // The inner call stands by itself as well.
    assert_eq!(charge(&other, &order("a")).await.unwrap().charge, 1);
}

/// A handler that fails behind its charge where it is told to.
async fn sell(shop: Shop, reservation: Reservation, what: String) -> Result<String, StatusCode> {
    let (id, fails) = what.strip_prefix("fail ").map_or((&*what, false), |id| (id, true));
    assert_eq!(reservation.key(), "sale", "the handler has the request's key");
    let receipt = charge(&shop, &order(id)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    if fails { Err(StatusCode::BAD_GATEWAY) } else { Ok(receipt.charge.to_string()) }
}

/// One request under the key `sale`: its status, whether it is a replay, and what it says.
async fn request(router: &Router, what: &str) -> (StatusCode, bool, String) {
    let request = Request::post("/").header("idempotency-key", "sale").header("authorization", "Bearer alice");
    let response = router.clone().oneshot(request.body(Body::from(what.to_owned())).unwrap()).await.unwrap();
    let (status, is_replay) = (response.status(), response.headers().contains_key("idempotency-replayed"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, is_replay, String::from_utf8(body.into()).unwrap())
}

async fn a_sale_charges_once(shop: &Shop, elsewhere: &Shop, router: impl Fn(Shop) -> Router) {
    let (router, other_router) = (router(shop.clone()), router(elsewhere.clone()));
    // It is not recorded that the sale has failed; that the charge was made is.
    assert_eq!(request(&router, "fail a").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!((shop.charges(), charge(elsewhere, &order("a")).await.unwrap().charge), (1, 1));
    assert_eq!(request(&other_router, "a").await, (StatusCode::OK, false, "1".to_owned()));
    for router in [&router, &other_router] {
        assert_eq!(request(router, "a").await, (StatusCode::OK, true, "1".to_owned()));
    }
    assert_eq!(request(&router, "b").await.0, StatusCode::UNPROCESSABLE_ENTITY, "the sale's key is the request's");
    assert_eq!(shop.charges(), 1);
}

async fn a_call_within_a_handler_is_guarded_by_itself(one: Shop, other: Shop) {
    #[idempotent(record = success)]
    async fn guarded(State(shop): State<Shop>, reservation: Reservation, what: String) -> Result<String, StatusCode> {
        sell(shop, reservation, what).await
    }
    let router = |shop| Router::new().route("/", post(guarded)).with_state(shop);
    a_sale_charges_once(&one, &other, router).await;
}

/// The layer's mark is in the request, and the function does not see it.
async fn a_call_within_a_handler_below_the_layer_is_guarded_by_itself(one: Shop, other: Shop) {
    async fn bare(State(shop): State<Shop>, reservation: Reservation, what: String) -> Result<String, StatusCode> {
        sell(shop, reservation, what).await
    }
    let router = |shop: Shop| {
        let layer = IdempotencyLayer::new(shop.idempotency.clone());
        Router::new().route("/", post(bare)).layer(layer).with_state(shop)
    };
    a_sale_charges_once(&one, &other, router).await;
}

async fn a_call_of_itself_under_its_own_key_is_in_flight(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "loop", key = order.id)]
    async fn again(shop: &Shop, order: &Order, elsewhere: &Shop) -> Result<Receipt, ShopError> {
        for shop in [shop, elsewhere] {
            let told = Box::pin(again(shop, order, elsewhere)).await;
            assert_eq!(told, Err(ShopError::Guard(GuardError::InFlight { function: "loop" })));
        }
        Ok(shop.charge(order))
    }
    let first = again(&one, &order("a"), &other).await;
    assert_eq!((again(&other, &order("a"), &one).await, one.charges()), (first, 1));
}

async fn steps_of_the_same_name_do_not_meet(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "inner", key = id)]
    async fn inner(shop: &Shop, id: &str, reservation: Reservation) -> Result<(String, u64), ShopError> {
        let step = reservation.step("charge", async || Ok::<_, ShopError>(shop.charge(&order(id)).charge as u64));
        Ok((reservation.derive("charge").to_string(), step.await?))
    }
    #[idempotent(handle = shop.idempotency, name = "outer", key = id)]
    async fn outer(
        shop: &Shop,
        id: &str,
        fails: bool,
        reservation: Reservation,
    ) -> Result<[(String, u64); 2], ShopError> {
        let step = reservation.step("charge", async || Ok::<_, ShopError>(shop.charge(&order(id)).charge as u64));
        let own = (reservation.derive("charge").to_string(), step.await?);
        let inner = inner(shop, id).await?;
        if fails { Err(ShopError::Declined) } else { Ok([own, inner]) }
    }
    assert_eq!(outer(&one, "a", true).await, Err(ShopError::Declined));
    let [(own_key, own), (inner_key, inner)] = outer(&other, "a", false).await.unwrap();
    assert_ne!(own_key, inner_key);
    assert_eq!((own, inner, one.charges()), (1, 2, 2));
}

/// What waits for room while it takes the room up would wait for ever.
async fn where_one_may_run_the_inner_call_is_refused(one: Shop, other: Shop) {
    #[idempotent(handle = shop.idempotency, name = "both", key = id, wait = "1m")]
    async fn both(shop: &Shop, id: &str) -> Result<[usize; 2], ShopError> {
        let inner = charge(shop, &order(id)).await?;
        Ok([inner.charge, charge_owned(shop.clone(), order("freight")).await?.charge])
    }
    let narrow = one.by(one.idempotency.clone().max_running(1));
    let overloaded = Err(ShopError::Guard(GuardError::Overloaded { function: "charge", bound: "max_running" }));
    for _ in 0..2 {
        assert_eq!(both(&narrow, "a").await, overloaded);
    }
    assert_eq!(one.charges(), 0);
    assert_eq!(both(&other, "a").await, Ok([1, 2]), "the key was given back");
    // What is recorded takes no room.
    assert_eq!((both(&narrow, "a").await, charge(&narrow, &order("a")).await.unwrap().charge), (Ok([1, 2]), 1));
    let wide = one.by(one.idempotency.clone().max_running(2));
    assert_eq!(both(&wide, "b").await, Ok([3, 2]));
}

#[derive(Debug)]
enum BookError {
    Inner(ShopError),
}

impl From<GuardError> for BookError {
    fn from(error: GuardError) -> Self {
        panic!("the outer call: {error}")
    }
}

impl From<ShopError> for BookError {
    fn from(error: ShopError) -> Self {
        Self::Inner(error)
    }
}

impl From<sqlx::Error> for BookError {
    fn from(error: sqlx::Error) -> Self {
        panic!("the outer call: {error}")
    }
}

/// The inner call is no part of the transaction around it: its result stays where that is undone.
#[tokio::test]
async fn a_call_within_a_transaction_is_recorded_by_itself() {
    #[idempotent(handle = handle, name = "book", key = id, transaction)]
    async fn book(
        handle: &Idempotency<PostgresStore>,
        shop: &Shop,
        id: i64,
        fails: bool,
        mut tx: Tx<Postgres>,
    ) -> Result<usize, BookError> {
        sqlx::query("INSERT INTO entries VALUES ($1)").bind(id).execute(&mut *tx).await?;
        let receipt = charge(shop, &order("a")).await?;
        if fails { Err(BookError::Inner(ShopError::Declined)) } else { Ok(receipt.charge) }
    }
    let database = cratestack_tests::TestDatabase::create().await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE entries (id BIGINT)").execute(&pool).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let handle = Idempotency::transactional(store);
    let shop = Shop::over(handle.clone().into());
    let entries = async || sqlx::query_scalar("SELECT COUNT(*) FROM entries").fetch_one(&pool).await.unwrap();
    let told = book(&handle, &shop, 7, true).await;
    assert!(matches!(told, Err(BookError::Inner(ShopError::Declined))), "{told:?}");
    assert_eq!((shop.charges(), entries().await), (1, 0_i64));
    for _ in 0..2 {
        assert_eq!((book(&handle, &shop, 7, false).await.unwrap(), shop.charges(), entries().await), (1, 1, 1));
    }
}

/// SQLite has one writer, which is the transaction around the call: the call is told so, and does not wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_within_a_transaction_of_the_same_sqlite_file_is_unavailable() {
    #[idempotent(handle = handle, name = "book", key = id, transaction)]
    async fn book(
        handle: &Idempotency<SqliteStore>,
        shop: &Shop,
        id: i64,
        mut tx: Tx<Sqlite>,
    ) -> Result<usize, BookError> {
        sqlx::query("INSERT INTO entries VALUES ($1)").bind(id).execute(&mut *tx).await?;
        Ok(charge(shop, &order(&id.to_string())).await?.charge)
    }
    let crate::shop::Stores { one, kept: folder, .. } = crate::shop::sqlite().await;
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("shop.db"));
    let pool = sqlx::sqlite::SqlitePool::connect_with(file).await.unwrap();
    sqlx::raw_sql("CREATE TABLE entries (id BIGINT)").execute(&pool).await.unwrap();
    let handle = Idempotency::transactional(one).store_timeout(Duration::from_millis(500));
    let same_file = Shop::over(handle.clone().into());
    for id in [7, 8] {
        let told = book(&handle, &same_file, id).await;
        let is_away = matches!(
            told,
            Err(BookError::Inner(ShopError::Guard(GuardError::StoreUnavailable {
                error: StoreError::Unavailable(_),
                ..
            })))
        );
        assert!(is_away, "{told:?}");
    }
    let elsewhere = same_file.by(Idempotency::new(Arc::new(MemoryStore::new())));
    assert_eq!(book(&handle, &elsewhere, 7).await.unwrap(), 1);
    let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM entries").fetch_one(&pool).await.unwrap();
    assert_eq!((entries, same_file.charges()), (1, 1));
}
