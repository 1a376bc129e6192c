//! Handlers of a generic `impl` that name its parameters and never say `Self`.

#![deny(warnings)]

use std::future::Future;

use axum::body::Bytes;
use axum::extract::{FromRef, Json, Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

trait Ledger: Clone + Send + Sync + 'static {
    fn pay(&self, id: u64) -> Result<String, String>;
}

#[derive(Clone)]
struct Book(Idempotency);

impl Ledger for Book {
    fn pay(&self, id: u64) -> Result<String, String> {
        Ok(id.to_string())
    }
}

impl FromRef<Book> for Idempotency {
    fn from_ref(book: &Book) -> Self {
        book.0.clone()
    }
}

struct Shop<Store, const LIMIT: u64>(Store);

impl<Store: Ledger, const LIMIT: u64> Shop<Store, LIMIT> {
    #[idempotent]
    async fn pay(State(store): State<Store>, Path(id): Path<u64>, Json(mut amount): Json<u64>) -> Result<String, String> {
        if amount > LIMIT {
            return Err("too much".into());
        }
        amount += u64::from("1".parse::<u8>().map_err(|error| error.to_string())?);
        let paid = store.pay(id)?;
        Ok(format!("{paid} {amount}"))
    }

    #[idempotent(key = id, principal = "shop")]
    #[allow(unused_mut)]
    async fn opaque(
        State(store): State<Store>,
        Path(id): Path<u64>,
        mut _rest: Bytes,
    ) -> Result<impl IntoResponse, (StatusCode, String)> {
        let paid = store.pay(id).map_err(|error| (StatusCode::BAD_GATEWAY, error))?;
        if paid.is_empty() {
            return Err((StatusCode::NOT_FOUND, paid));
        }
        Ok((StatusCode::CREATED, paid))
    }

    #[idempotent]
    fn plain(State(store): State<Store>, body: Bytes) -> impl Future<Output = Result<Bytes, String>> + Send {
        async move { store.pay(7).map(|_| body) }
    }

    #[idempotent]
    fn named(State(store): State<Store>) -> std::future::Ready<String> {
        std::future::ready(store.pay(LIMIT).unwrap_or_default())
    }

    #[idempotent]
    async fn nothing(_: State<Store>) {}

    #[idempotent(optional)]
    async fn generic<Other>(State(other): State<Other>, _: State<Store>) -> Json<Result<String, String>>
    where
        Other: Ledger + FromRef<Store>,
    {
        Json(other.pay(LIMIT))
    }

    #[idempotent]
    async fn boxed(State(_): State<Store>) -> Result<String, Box<dyn IntoError>> {
        fn checked(text: &str) -> Result<u8, Box<dyn IntoError>> {
            text.parse().map_err(|_| Box::new(StatusCode::BAD_REQUEST) as Box<dyn IntoError>)
        }
        Ok(checked("7")?.to_string())
    }

    fn routes() -> Router<Store>
    where
        Idempotency: FromRef<Store>,
    {
        Router::new()
            .route("/0", post(Self::pay).put(Self::opaque))
            .route("/1", post(Self::plain).put(Self::named))
            .route("/2", post(Self::nothing).put(Self::generic::<Store>))
            .route("/3", post(Self::boxed))
    }
}

trait IntoError: Send {
    fn status(&self) -> StatusCode;
}

impl IntoError for StatusCode {
    fn status(&self) -> StatusCode {
        *self
    }
}

impl IntoResponse for Box<dyn IntoError> {
    fn into_response(self) -> axum::response::Response {
        self.status().into_response()
    }
}

/// A function in a module or in another one is indented as well, and is none of an `impl`.
mod inner {
    use super::{Idempotency, Router, idempotent, post};

    #[idempotent(key = body)]
    async fn pay(body: String) -> &'static str {
        "paid"
    }

    pub fn routes() -> Router<Idempotency> {
        #[idempotent]
        async fn refund(body: String) -> Result<String, std::convert::Infallible> {
            Ok(body)
        }
        Router::new().route("/0", post(pay)).route("/1", post(refund))
    }
}

fn main() {
    let _: Router<Book> = Shop::<Book, 100>::routes();
    let _ = inner::routes();
    let _ = |store: Book| Shop::<Book, 7>(store).0;
}
