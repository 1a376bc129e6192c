//! The page at `/`: a shop whose payments four handlers can take, the ledger, and a timeline of the requests; beside
//! it, at `/guarantees`, what is promised.
//!
//! Everything that it needs comes from here; the policy that goes with it lets the browser load nothing else.

mod bare;
mod events;
mod guarantees;
mod ledger;
mod reservation;
mod stage;
mod steps;
mod transaction;
mod transaction_on_postgres;
mod transaction_on_sqlite;

use axum::{
    Router,
    extract::{FromRef, Request},
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    middleware::{self, Next},
    response::{Html, Response},
    routing::{MethodRouter, get, post},
};
use cratestack_runtime::Idempotency;

pub(crate) use self::{events::Events, transaction::Transactions};

use crate::ledger::Ledger;

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

#[derive(Clone)]
pub(crate) struct Shop {
    idempotency: Idempotency,
    ledger: Ledger,
    /// For what the page shows: it never waits for a payment that holds its connection.
    reader: Ledger,
    events: Events,
    /// What has the keys of handlers without a transaction, where that is not the ledger's database.
    keys: Option<&'static str>,
}

impl FromRef<Shop> for Idempotency {
    fn from_ref(shop: &Shop) -> Self {
        shop.idempotency.clone()
    }
}

impl FromRef<Shop> for Events {
    fn from_ref(shop: &Shop) -> Self {
        shop.events.clone()
    }
}

impl Shop {
    pub(crate) async fn open(
        idempotency: Idempotency,
        ledger: Ledger,
        reader: Ledger,
        events: Events,
        keys: Option<&'static str>,
    ) -> sqlx::Result<Self> {
        ledger.prepare_shop().await?;
        Ok(Self { idempotency, ledger, reader, events, keys })
    }
}

pub(crate) fn routes(shop: Shop, transactions: Transactions) -> Router {
    let page = page(&transactions);
    let guarantees = guarantees::page();
    let transaction = Router::new().route("/shop/transaction", transactions.route(&shop));
    Router::new()
        .route("/", get(move || async { Html(page) }))
        .route("/guarantees", get(move || async { Html(guarantees) }))
        .route("/shop/style.css", file("text/css; charset=utf-8", include_str!("style.css")))
        .route("/shop/guide.js", file(JAVASCRIPT, include_str!("guide.js")))
        .route("/shop/main.js", file(JAVASCRIPT, include_str!("main.js")))
        .route("/shop/orders.js", file(JAVASCRIPT, include_str!("orders.js")))
        .route("/shop/server.js", file(JAVASCRIPT, include_str!("server.js")))
        .route("/shop/timeline.js", file(JAVASCRIPT, include_str!("timeline.js")))
        .route("/shop/words.js", file(JAVASCRIPT, include_str!("words.js")))
        .route("/shop/events", get(events::stream))
        .route("/shop/ledger", get(ledger::list))
        .route("/shop/bare", post(bare::pay))
        .route("/shop/reservation", post(reservation::pay))
        .route("/shop/steps", post(steps::pay))
        .with_state(shop)
        .merge(transaction)
        .layer(middleware::from_fn(headers))
}

/// The page shows the handlers as they are compiled.
fn page(transactions: &Transactions) -> String {
    let handlers = [
        ("{{bare}}", include_str!("bare.rs")),
        ("{{reservation}}", include_str!("reservation.rs")),
        ("{{transaction}}", transactions.source()),
        ("{{steps}}", include_str!("steps.rs")),
    ];
    handlers.into_iter().fold(include_str!("index.html").to_owned(), |page, (place, source)| {
        let handler = source.rsplit("};\n\n").next().unwrap_or(source).trim_end();
        let handler = handler.replace("pub(super) ", "");
        page.replace(place, &handler.replace('&', "&amp;").replace('<', "&lt;"))
    })
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Shop> {
    get(([(CONTENT_TYPE, kind)], text))
}

async fn headers(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let set: [(HeaderName, &str); 3] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        // Browsers send a request again by themselves when a connection that they reuse breaks, a POST too. The page is
        // to show its own retries only.
        (CONNECTION, "close"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
