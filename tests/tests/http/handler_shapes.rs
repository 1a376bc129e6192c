//! Handlers of every shape that axum takes, run: the compile-pass suite shows that they compile, this that they work.

use std::future::Future;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{Form, Json, Router};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use serde_json::{Value, json};

use crate::app::{Answer, request, send};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    name: &'static str,
}

/// Calls the handler twice with one key, and checks that the second answer is the first, replayed.
async fn twice(handler: MethodRouter<App>) -> Answer {
    let state = App { idempotency: Idempotency::new(MemoryStore::new()), name: "app" };
    let router = Router::new().route("/{id}", handler).with_state(state);
    let first = send(router.clone(), request("k1", "/7?q=x", r#"{"a":1}"#)).await;
    let again = send(router, request("k1", "/7?q=x", r#"{"a":1}"#)).await;
    assert!(!first.is_replay() && again.is_replay());
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    first
}

#[idempotent]
async fn nothing() {}

#[idempotent()]
async fn everything(
    State(name): State<&'static str>,
    Path(id): Path<u32>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Json<Value> {
    Json(json!([name, id, query["q"], headers.len(), body]))
}

#[idempotent]
async fn whole_request(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100).await.unwrap();
    format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body))
}

#[idempotent]
async fn opaque(body: Bytes) -> Result<impl IntoResponse, impl IntoResponse> {
    if body.is_empty() { Err(StatusCode::IM_A_TEAPOT) } else { Ok((StatusCode::ACCEPTED, body)) }
}

#[idempotent]
fn plain(Path(id): Path<u32>) -> impl Future<Output = String> + Send {
    assert_eq!(id, 7);
    async move { format!("plain {id}") }
}

#[idempotent]
async fn generic<T: Into<u64> + Send + Sync + Clone + 'static, const N: usize>(Path(id): Path<u32>) -> String
where
    App: FromRef<T>,
{
    format!("{id} {N}")
}

#[idempotent]
async fn fallible(form: Result<Form<Value>, axum::extract::rejection::FormRejection>) -> Result<String, StatusCode> {
    match form {
        Ok(_) => Ok("a form".to_owned()),
        Err(_) => Err(StatusCode::NOT_ACCEPTABLE),
    }
}

/// Documented, and kept so.
#[idempotent]
#[allow(clippy::needless_pass_by_value)]
#[must_use]
async fn mutable(Path((_,)): Path<(u32,)>, mut body: Bytes) -> Bytes {
    body.truncate(3);
    body
}

struct Shop {
    id: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for Shop {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Path(id) = Path::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { id })
    }
}

impl Shop {
    const NAME: &'static str = "shop";

    #[idempotent]
    async fn by_value(self, body: String) -> String {
        format!("{} {} {body}", Self::NAME, self.id)
    }

    #[idempotent]
    async fn in_the_signature(shop: Self) -> String {
        format!("shop {}", shop.id)
    }

    #[idempotent]
    async fn in_a_macro() -> String {
        format!("the {}", Self::NAME)
    }

    #[idempotent]
    async fn makes_itself(Path(id): Path<u32>) -> Self {
        Self { id }
    }

    #[idempotent]
    async fn without(Path(id): Path<u32>) -> String {
        id.to_string()
    }
}

impl IntoResponse for Shop {
    fn into_response(self) -> Response {
        format!("made {}", self.id).into_response()
    }
}

mod helper {
    pub(super) fn say() -> &'static str {
        "said"
    }
}

#[idempotent]
async fn free_with_items_of_its_own() -> String {
    struct Inner(&'static str);
    impl Inner {
        fn said(&self) -> String {
            self.0.to_owned()
        }
    }
    Inner(self::helper::say()).said()
}

#[tokio::test]
async fn every_shape_runs_once_and_replays() {
    assert_eq!(twice(post(nothing)).await.body, "");
    assert_eq!(twice(post(everything)).await.json(), json!(["app", 7, "x", 3, {"a": 1}]));
    assert_eq!(twice(post(whole_request)).await.body, r#"POST /7?q=x {"a":1}"#);
    assert_eq!(twice(post(opaque)).await.status, StatusCode::ACCEPTED);
    assert_eq!(twice(post(plain)).await.body, "plain 7");
    assert_eq!(twice(post(fallible)).await.status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(twice(post(mutable)).await.body, r#"{"a"#);
    assert_eq!(twice(post(Shop::by_value)).await.body, r#"shop 7 {"a":1}"#);
    assert_eq!(twice(post(Shop::in_the_signature)).await.body, "shop 7");
    assert_eq!(twice(post(Shop::in_a_macro)).await.body, "the shop");
    assert_eq!(twice(post(Shop::makes_itself)).await.body, "made 7");
    assert_eq!(twice(post(Shop::without)).await.body, "7");
    assert_eq!(twice(post(free_with_items_of_its_own)).await.body, "said");
}
