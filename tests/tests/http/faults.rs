//! A store that fails, hangs or loses: what the client sees, and what is still kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{
    Idempotency, IdempotencyRecord, IdempotencyStore, ReservationOutcome, StoreError, async_trait, idempotent,
};
use cratestack_tests::ThreeMethods;
use uuid::Uuid;

use crate::app::{App, eventually, held, request, send};
use crate::failing_store::{FailingStore, Failure, Method, failing};

const BODY: &str = r#"{"amount":100}"#;

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_503_and_nothing_runs() {
    let (app, store) = failing();
    store.fail_every_write(Failure::Refused);
    let refused = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "idempotency_store_unavailable")
    );
    assert!(refused.header("retry-after").is_some());
    assert!(!String::from_utf8_lossy(&refused.body).contains("switched off"), "the store's text is for the log");
    assert_eq!(app.effects(), 0);
    store.mend_every_write();
    assert_eq!(app.send(request("k1", "/payments", BODY)).await.status, StatusCode::CREATED);
}

/// Wherever it does: when it reserves, renews or records.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_one_that_fails() {
    let (app, store) = failing();
    store.fail_every_write(Failure::Panics);
    assert_eq!(app.send(request("k1", "/payments", BODY)).await.code(), "idempotency_store_unavailable");
    store.mend_every_write();
    let running = app.hold().await;
    store.fail_every_write(Failure::Panics);
    tokio::time::sleep(Duration::from_secs(12)).await;
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    store.mend_every_write();
    eventually("the outcome is recorded", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        app.send(held()).await.is_replay()
    })
    .await;
    assert_eq!(app.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_503_and_pins_no_key() {
    let store = Arc::new(FailingStore::default());
    let hour = Duration::from_secs(3600);
    let app = App::over(Idempotency::new(Arc::clone(&store)).lease(hour));
    store.fail(Method::Reserve, Failure::AnsweredLate(Duration::from_secs(60)));
    let refused = app.send(request("k1", "/payments", BODY)).await;
    assert_eq!(refused.code(), "idempotency_store_unavailable");
    store.mend(Method::Reserve);
    // The store's answer comes a minute late, and is a reservation: nobody runs under it, so it is given back at once.
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(app.send(request("k1", "/payments", BODY)).await.status, StatusCode::CREATED);
    assert_eq!(app.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_written_goes_out_and_is_written_later() {
    let (app, store) = failing();
    let running = app.hold().await;
    store.fail_every_write(Failure::Refused);
    app.gate.notify_one();
    let live = running.await.unwrap();
    assert_eq!((live.status, live.is_replay()), (StatusCode::CREATED, false));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(store.called(Method::Finish) > 3, "it is tried again");
    store.mend_every_write();
    eventually("the outcome is recorded", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        app.send(held()).await.is_replay()
    })
    .await;
    assert_eq!(app.send(held()).await.body, live.body);
    assert_eq!(app.effects(), 1);
}

#[idempotent(record = success)]
async fn decline(State(app): State<App>) -> StatusCode {
    app.waiting.notify_one();
    app.gate.notified().await;
    StatusCode::PAYMENT_REQUIRED
}

/// A renewal that was on its way when the key was given back finds it gone, which tells nothing.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_given_back_is_not_lost() {
    let (app, store) = failing();
    store.fail(Method::Renew, Failure::Delayed(Duration::from_secs(3)));
    store.fail(Method::Release, Failure::AnsweredLate(Duration::from_secs(5)));
    let router = Router::new().route("/decline", post(decline)).with_state(app.clone());
    let running = tokio::spawn(send(router, request("k1", "/decline", BODY)));
    app.waiting.notified().await;
    // The first renewal sets out at a third of the lease.
    tokio::time::sleep(Duration::from_secs(11)).await;
    app.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::PAYMENT_REQUIRED);
}

/// A process that stalls past its lease: its handler comes back to a key that another run has taken over.
#[tokio::test(start_paused = true)]
async fn a_stale_holder_changes_nothing_and_does_not_answer_for_the_key() {
    let (app, store) = failing();
    let elsewhere = App::over(Idempotency::new(Arc::clone(&store)).lease(Duration::from_secs(30)));
    store.fail(Method::Renew, Failure::Refused);
    let stale = app.hold().await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let second = elsewhere.hold().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    app.gate.notify_one();
    let stale = stale.await.unwrap();
    assert_eq!((stale.status, stale.code().as_str()), (StatusCode::CONFLICT, "idempotency_reservation_lost"));
    let during = app.send(held()).await;
    assert_eq!(during.code(), "idempotency_request_in_flight", "the stale completion did not end the newer run");
    elsewhere.gate.notify_one();
    let second = second.await.unwrap();
    assert_eq!(second.status, StatusCode::CREATED);
    let replayed = app.send(held()).await;
    assert_eq!((replayed.is_replay(), replayed.body), (true, second.body));
}

#[tokio::test(start_paused = true)]
async fn a_store_of_three_methods_is_enough() {
    let app = App::over(Idempotency::new(ThreeMethods::default()).lease(Duration::from_secs(1)));
    let running = app.hold().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let during = app.send(held()).await;
    assert_eq!(during.code(), "idempotency_request_in_flight", "it knows no lease, and is safe without");
    app.gate.notify_one();
    let first = running.await.unwrap();
    let again = app.send(held()).await;
    assert_eq!((again.is_replay(), again.body), (true, first.body));
}

/// A store whose records are not what was recorded.
struct Damaged(fn(&mut IdempotencyRecord));

#[async_trait]
impl IdempotencyStore for Damaged {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        let mut record = IdempotencyRecord {
            key: key.to_owned(),
            principal_fingerprint: principal.to_owned(),
            request_hash,
            response_status: 201,
            response_headers: vec![1, 0, 0, 0, 1, 0, 0, 0, b'a', 1, 0, 0, 0, b'b'],
            response_body: b"kept".to_vec(),
            created_at: SystemTime::now(),
            expires_at,
        };
        (self.0)(&mut record);
        Ok(ReservationOutcome::Replay(record))
    }

    async fn complete(&self, _: &str, _: &str, _: Uuid, _: u16, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        unreachable!("nothing runs")
    }

    async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), StoreError> {
        unreachable!("nothing runs")
    }
}

#[tokio::test]
async fn a_damaged_record_is_neither_replayed_in_part_nor_run_again() {
    let whole = App::over(Idempotency::new(Damaged(|_| {})));
    assert_eq!(whole.send(request("k1", "/payments", BODY)).await.header("a"), Some("b"));
    let damages: [fn(&mut IdempotencyRecord); 5] = [
        |record| record.response_status = 9,
        |record| record.response_status = 1000,
        |record| record.response_headers = vec![1, 0, 0, 0],
        |record| record.response_headers = vec![255; 20],
        |record| *record.response_headers.last_mut().unwrap() = b'\n',
    ];
    for damage in damages {
        let app = App::over(Idempotency::new(Damaged(damage)));
        let answer = app.send(request("k1", "/payments", BODY)).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.code(), "idempotency_record_damaged");
        assert_eq!(app.effects(), 0);
    }
}
