//! A payment provider that is idempotent itself. It lives in the harness, so it survives what is killed, and it knows
//! every call that was ever made.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;

use super::Rng;

/// The provider, as the harness sees it.
#[derive(Debug, Clone)]
pub struct Provider {
    address: SocketAddr,
    ledger: Arc<Mutex<Charges>>,
}

#[derive(Debug)]
struct Charges {
    made: HashMap<String, Charge>,
    rng: Rng,
}

/// A charge, of which there is one for each key that the provider was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Its name.
    pub name: String,
    /// What was bought.
    pub purchase: String,
    /// The amount.
    pub amount: i64,
    /// How many calls showed its key.
    pub calls: u64,
}

#[derive(Deserialize)]
struct Order {
    purchase: String,
    amount: i64,
}

impl Provider {
    /// One that listens. It takes some milliseconds before a charge and some after it.
    ///
    /// # Panics
    /// When there is no port for it.
    pub async fn start(seed: u64) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let ledger = Arc::new(Mutex::new(Charges { made: HashMap::new(), rng: Rng::new(seed) }));
        let router = Router::new().route("/charges", post(charge)).with_state(Arc::clone(&ledger));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, ledger }
    }

    /// For [`Setup::provider`](super::Setup::provider).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All charges so far.
    pub fn charges(&self) -> Vec<Charge> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).made.values().cloned().collect()
    }
}

async fn charge(State(ledger): State<Arc<Mutex<Charges>>>, headers: HeaderMap, Json(order): Json<Order>) -> Response {
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "a charge needs a key").into_response();
    };
    let pauses = {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        [(); 2].map(|()| Duration::from_millis(ledger.rng.milliseconds(6)))
    };
    tokio::time::sleep(pauses[0]).await;
    let name = {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("ch_{}", ledger.made.len() + 1);
        let Order { purchase, amount } = order;
        let charge = Charge { name, purchase, amount, calls: 0 };
        let made = ledger.made.entry(key.to_owned()).or_insert_with(|| charge.clone());
        if (&made.purchase, made.amount) != (&charge.purchase, charge.amount) {
            return (StatusCode::UNPROCESSABLE_ENTITY, "the key is another charge's").into_response();
        }
        made.calls += 1;
        made.name.clone()
    };
    tokio::time::sleep(pauses[1]).await;
    (StatusCode::CREATED, Json(json!({"charge": name}))).into_response()
}
