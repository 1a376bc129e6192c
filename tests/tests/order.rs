//! The program that charges at a provider and then ships (`examples/order`), killed where it hurts: whatever a retry
//! does, there is one charge and one parcel.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::post,
};
use cratestack_tests::{Answer, Service, Settings};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A provider and a warehouse, which survive what is killed. Each makes one thing of each key.
#[derive(Clone)]
struct Others {
    address: SocketAddr,
    /// By what was asked for and with which key: how often.
    calls: Arc<Mutex<BTreeMap<(String, String), u64>>>,
    /// Who is asked for this does it, and does not answer.
    holds: watch::Sender<Option<&'static str>>,
    /// What was held.
    held: watch::Sender<bool>,
}

impl Others {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let others = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            holds: watch::Sender::new(None),
            held: watch::Sender::new(false),
        };
        let router = Router::new().route("/{what}", post(make)).with_state(others.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        others
    }

    /// How often each was called for, key by key.
    fn calls(&self, of: &str) -> Vec<u64> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|((what, _), _)| what == of).map(|(_, calls)| *calls).collect()
    }
}

async fn make(State(others): State<Others>, Path(what): Path<String>, headers: HeaderMap) -> Json<Value> {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let name = format!("{what} {key}");
    *others.calls.lock().unwrap().entry((what.clone(), key)).or_default() += 1;
    if others.holds.borrow().is_some_and(|holds| holds == what) {
        others.held.send_replace(true);
        // Until whoever asked is gone.
        std::future::pending::<()>().await;
    }
    Json(json!(name))
}

async fn order(service: &Service) -> std::io::Result<Answer> {
    service.client().post("/orders").key("o1").json(&json!({"amount": 1200})).send().await
}

/// Kills the program once one of the others has done what it was asked for, and sends the order again until all is
/// done.
async fn killed_while_it_waits_for(what: &'static str) -> Others {
    let others = Others::start().await;
    let url = |what: &str| format!("http://{}/{what}", others.address);
    let settings = Settings::of("order").set("PROVIDER", &url("charges")).set("WAREHOUSE", &url("parcels"));
    let mut service = Service::start(settings).await;
    others.holds.send_replace(Some(what));
    let mut held = others.held.subscribe();
    tokio::select! {
        answer = order(&service) => panic!("{what} has no answer, and the order has one: {answer:?}"),
        seen = held.wait_for(|held| *held) => drop(seen.unwrap()),
    }
    service.kill();
    others.holds.send_replace(None);
    service.restart().await;

    // It waits until the lease of the dead one has ended.
    let made = order(&service).await.unwrap();
    assert_eq!((made.status.as_u16(), made.is_replay()), (200, false), "{made:?}");
    let before = others.calls.lock().unwrap().clone();
    let again = order(&service).await.unwrap();
    assert_eq!((again.is_replay(), &again.body), (true, &made.body), "{again:?}");
    assert_eq!(*others.calls.lock().unwrap(), before, "a replay calls nobody");
    others
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_charge_and_the_outcome_it_does_not_charge_again() {
    let others = killed_while_it_waits_for("parcels").await;
    assert_eq!(others.calls("charges"), [1], "the step was recorded");
    assert_eq!(others.calls("parcels"), [2], "it was not, and is repeated with the same key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_charge_and_its_record_it_shows_the_provider_the_same_key() {
    let others = killed_while_it_waits_for("charges").await;
    assert_eq!(others.calls("charges"), [2], "one key, and so one charge");
    assert_eq!(others.calls("parcels"), [1]);
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_outcome() {
    let others = Others::start().await;
    let nobody = {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://{}/charges", listener.local_addr().unwrap())
    };
    let parcels = format!("http://{}/parcels", others.address);
    let service = Service::start(Settings::of("order").set("PROVIDER", &nobody).set("WAREHOUSE", &parcels)).await;
    for _ in 0..2 {
        let answer = order(&service).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.is_replay()), (503, false), "{answer:?}");
    }
    assert_eq!(others.calls("parcels"), [0; 0]);
}

#[test]
fn it_has_less_than_forty_lines() {
    let program = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/order/main.rs")).unwrap();
    let (purpose, rest) = program.split_once("\n\n").unwrap();
    assert!(purpose.starts_with("//! "), "{purpose}");
    assert!(rest.lines().count() < 40, "{} lines", rest.lines().count());
}
