//! What a result looks like in the table, and what is told of a row that is not a result of this program's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{
    GuardError, Idempotency, IdempotencyStore, MemoryStore, ReservationOutcome, decode_headers, encode_headers,
    idempotent,
};
use serde::{Deserialize, Serialize};

use crate::shop::{Receipt, Shop, ShopError, order};

crate::over_all! {
    a_value_that_no_longer_decodes_is_an_error,
    a_value_of_an_older_program_is_read,
    a_result_that_cannot_be_recorded_is_told_once,
    a_result_that_is_too_large_is_told_once,
    an_error_that_was_recorded_is_no_value_where_none_are,
}

/// The same function, of another release.
macro_rules! release {
    ($release:ident -> $value:ty: $body:expr) => {
        #[idempotent(handle = shop.idempotency, name = "release", key = id)]
        async fn $release(shop: &Shop, id: &str) -> Result<$value, ShopError> {
            shop.charge(&order(id));
            Ok($body)
        }
    };
}

async fn a_value_that_no_longer_decodes_is_an_error(one: Shop, other: Shop) {
    release!(first -> String: "seven and the rest of a secret".to_owned());
    release!(second -> u64: 7);
    first(&one, "a").await.unwrap();
    for shop in [&one, &other] {
        let told = second(shop, "a").await.unwrap_err();
        let ShopError::Guard(error @ GuardError::Undecodable { .. }) = told else { panic!("{told:?}") };
        let text = error.to_string();
        assert!(text.contains("`release`") && !text.contains("secret"), "{text}");
        assert!(!error.may_retry() && error.function() == "release");
    }
    assert_eq!((first(&other, "a").await.unwrap().len(), one.charges()), (30, 1));
}

async fn a_value_of_an_older_program_is_read(one: Shop, other: Shop) {
    #[derive(Serialize, Deserialize)]
    struct Old {
        id: u64,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        id: u64,
        #[serde(default)]
        note: Option<String>,
    }
    release!(old -> Old: Old { id: 7 });
    release!(new -> New: New { id: 8, note: None });
    old(&one, "a").await.unwrap();
    assert_eq!(new(&other, "a").await.unwrap(), New { id: 7, note: None });
}

async fn a_result_that_cannot_be_recorded_is_told_once(one: Shop, other: Shop) {
    // JSON has texts alone for keys.
    release!(of_pairs -> HashMap<(u64, u64), u64>: HashMap::from([((1, 2), 3)]));
    assert_eq!(of_pairs(&one, "a").await.unwrap()[&(1, 2)], 3);
    let told = Err(ShopError::Guard(GuardError::NotReplayable { function: "release" }));
    assert_eq!((of_pairs(&one, "a").await, of_pairs(&other, "a").await), (told.clone(), told));
    assert_eq!(one.charges(), 1);
}

async fn a_result_that_is_too_large_is_told_once(one: Shop, other: Shop) {
    release!(of_bytes -> String: "x".repeat(2 * 1024 * 1024));
    assert_eq!(of_bytes(&one, "a").await.unwrap().len(), 2 * 1024 * 1024);
    let told = Err(ShopError::Guard(GuardError::NotReplayable { function: "release" }));
    assert_eq!((of_bytes(&other, "a").await, one.charges()), (told, 1));
    release!(of_fewer -> String: "x".repeat(2 * 1024 * 1024 - 2));
    let most = of_fewer(&one, "b").await.unwrap();
    assert_eq!((of_fewer(&other, "b").await.unwrap().len(), one.charges()), (most.len(), 2));
}

async fn an_error_that_was_recorded_is_no_value_where_none_are(one: Shop, other: Shop) {
    #[derive(Debug, Serialize, Deserialize)]
    struct Text(String);
    impl From<GuardError> for Text {
        fn from(error: GuardError) -> Self {
            Self(error.to_string())
        }
    }
    #[idempotent(handle = shop.idempotency, name = "release", key = id, record = all)]
    async fn recording(shop: &Shop, id: &str) -> Result<u64, Text> {
        Err(Text(format!("{} of {id}", shop.charge(&order(id)).charge)))
    }
    release!(other_than -> u64: 7);
    recording(&one, "a").await.unwrap_err();
    let told = other_than(&other, "a").await.unwrap_err();
    assert!(matches!(told, ShopError::Guard(GuardError::Undecodable { .. })), "{told:?}");
    assert_eq!(one.charges(), 1);
}

/// Others read the table too: these do not change. The digests are also what Python's `hashlib` makes of the same bytes.
#[tokio::test]
async fn rows_are_pinned() {
    #[idempotent(handle = handle, name = "charge", key = (order, "EUR"), fingerprint = cents)]
    async fn charge(handle: &Idempotency, order: u64, cents: u64) -> Result<Receipt, GuardError> {
        Ok(Receipt { order: order.to_string(), amount: cents, charge: 1, note: None })
    }
    let store = Arc::new(MemoryStore::new());
    let handle = Idempotency::new(Arc::clone(&store));
    charge(&handle, 7, 100).await.unwrap();
    let rows = handle
        .list(
            &cratestack_runtime::records::RecordQuery::new(2)
                .states([cratestack_runtime::records::RecordState::Finished]),
        )
        .await
        .unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(row.principal, "→function:charge");
    // Of `s` 12 `function key`, and `(` 2 `+` 7 `s` 3 `EUR`: lengths in 8 bytes, integers in 16, little end first.
    assert_eq!(row.key, "charge→09a6d5088bf70a8509fadb0bfd3e6a8bba04b4db9adfe24a72db81c70ac42661");
    // Of `s` 8 `function`, `s` 6 `charge`, `T` for a fingerprint, and `+` 100.
    let hash = row.request_hash.unwrap().map(|byte| format!("{byte:02x}")).concat();
    assert_eq!(hash, "90c30b82351f473acd5431b2d27b951938bb97e1df57232e37f3305fa5c879fc");
    let expires = SystemTime::now() + std::time::Duration::from_secs(60);
    let replay = store.reserve_or_fetch(&row.principal, &row.key, row.request_hash.unwrap(), expires).await.unwrap();
    let ReservationOutcome::Replay(record) = replay else { panic!("{replay:?}") };
    let headers = decode_headers(&record.response_headers);
    assert_eq!(encode_headers(&headers), record.response_headers);
    assert_eq!((record.response_status, headers.len()), (200, 2));
    assert_eq!(
        (&headers["content-type"], &headers["idempotency-function-outcome"]),
        (&"application/json".parse().unwrap(), &"ok".parse().unwrap())
    );
    assert_eq!(record.response_body, br#"{"order":"7","amount":100,"charge":1,"note":null}"#);
}

/// A row that somebody else has written under a function's key.
#[tokio::test]
async fn a_row_that_is_no_result_is_damaged() {
    release!(function -> u64: 7);
    let store = Arc::new(MemoryStore::new());
    let shop = Shop::over(Idempotency::new(Arc::clone(&store)));
    function(&shop, "a").await.unwrap();
    let query =
        cratestack_runtime::records::RecordQuery::new(1).states([cratestack_runtime::records::RecordState::Finished]);
    let row = shop.idempotency.list(&query).await.unwrap().remove(0);
    let whole = {
        let expires = SystemTime::now() + std::time::Duration::from_secs(60);
        let replay =
            store.reserve_or_fetch(&row.principal, &row.key, row.request_hash.unwrap(), expires).await.unwrap();
        let ReservationOutcome::Replay(record) = replay else { panic!("{replay:?}") };
        record
    };
    let damages: [(u16, Vec<u8>); 4] = [
        (201, whole.response_headers.clone()),
        (500, whole.response_headers.clone()),
        (200, Vec::new()),
        (200, whole.response_headers[..whole.response_headers.len() - 1].to_vec()),
    ];
    for (status, headers) in damages {
        let store = Arc::new(MemoryStore::new());
        let shop = Shop::over(Idempotency::new(Arc::clone(&store)));
        let expires = SystemTime::now() + std::time::Duration::from_secs(60);
        let reserved =
            store.reserve_or_fetch(&row.principal, &row.key, row.request_hash.unwrap(), expires).await.unwrap();
        let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
        store.complete(&row.principal, &row.key, token, status, &headers, b"7").await.unwrap();
        assert_eq!(function(&shop, "a").await, Err(ShopError::Guard(GuardError::Damaged { function: "release" })));
        assert_eq!(shop.charges(), 0);
    }
}

/// A client that knows how a function's keys are made cannot have its results, nor stand in its way.
#[tokio::test]
async fn no_request_meets_a_function() {
    #[idempotent(handle = handle, name = "charge", principal = user, key = order)]
    async fn charge(handle: &Idempotency, user: &str, order: &str) -> Result<String, GuardError> {
        Ok(format!("charged {order} of {user}"))
    }
    #[idempotent(principal = body, key = body)]
    async fn by_argument(body: String) -> String {
        body
    }
    #[idempotent(principal = body)]
    async fn by_header(body: String) -> String {
        body
    }
    let handle = Idempotency::new(MemoryStore::new());
    assert_eq!(charge(&handle, "7", "7").await.unwrap(), "charged 7 of 7");
    let query =
        cratestack_runtime::records::RecordQuery::new(9).states([cratestack_runtime::records::RecordState::Finished]);
    let row = handle.list(&query).await.unwrap().remove(0);
    let router = Router::new()
        .route("/by_argument", post(by_argument))
        .route("/by_header", post(by_header))
        .with_state(handle.clone());
    let send = async |path: &str, key: &[u8]| {
        use tower::ServiceExt;
        let request = axum::http::Request::post(path).header("idempotency-key", key);
        router.clone().oneshot(request.body(axum::body::Body::from("7")).unwrap()).await.unwrap().status()
    };
    assert_eq!(send("/by_argument", b"k").await, StatusCode::OK);
    // A header cannot spell the key.
    assert_eq!(send("/by_header", row.key.as_bytes()).await, StatusCode::BAD_REQUEST);
    for spelling in
        [row.key.replace('→', ""), row.key.replace('→', "->"), row.key.rsplit('→').next().unwrap().to_owned()]
    {
        assert_eq!(send("/by_header", spelling.as_bytes()).await, StatusCode::OK);
    }
    assert_eq!(charge(&handle, "7", "7").await.unwrap(), "charged 7 of 7");
    assert_eq!(handle.list(&query).await.unwrap().len(), 5, "each has a row of its own");
}
