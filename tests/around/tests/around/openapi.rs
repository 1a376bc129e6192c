//! utoipa and aide: a guarded handler is documented by its own arguments.

use aide::axum::ApiRouter;
use aide::axum::routing::post_with;
use aide::openapi::OpenApi;
use aide::transform::TransformOperation;
use axum::Json;
use axum::extract::FromRef;
use axum::http::StatusCode;
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(Deserialize, Serialize, JsonSchema, utoipa::ToSchema)]
struct Payment {
    amount: u32,
}

#[tokio::test]
async fn utoipa_above_the_attribute_documents_the_handler() {
    /// Makes a payment.
    #[utoipa::path(
        post,
        path = "/payments",
        params(("Idempotency-Key" = String, Header)),
        request_body = Payment,
        responses((status = OK, body = Payment))
    )]
    #[idempotent]
    async fn pay(Json(payment): Json<Payment>) -> Json<Payment> {
        Json(payment)
    }

    let routes = || OpenApiRouter::<Idempotency>::new().routes(routes!(pay));
    let documented = serde_json::to_value(routes().into_openapi()).unwrap();
    let operation = &documented["paths"]["/payments"]["post"];
    assert_eq!(operation["operationId"], "pay");
    assert_eq!(operation["summary"], "Makes a payment.");
    assert_eq!(operation["parameters"][0]["name"], "Idempotency-Key");
    assert_eq!(body_schema(operation), "#/components/schemas/Payment");
    let service =
        Service::new(MemoryStore::new(), move |idempotency| routes().with_state(idempotency).split_for_parts().0);
    let [first, _] = service.post("/payments").key("k1").json(&json!({"amount": 5})).twice().await;
    assert_eq!(first.json::<Value>(), json!({"amount": 5}));
}

fn body_schema(operation: &Value) -> &Value {
    &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
}

#[idempotent]
async fn pay(reservation: Reservation, Json(payment): Json<Payment>) -> Json<Payment> {
    drop(reservation);
    Json(payment)
}

/// What a guarded handler returns is a `Response` to aide, which is told here what is in it.
fn documentation(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("pay").response::<200, Json<Payment>>()
}

fn api(idempotency: Idempotency) -> (axum::Router, OpenApi) {
    let mut documented = OpenApi::default();
    let router = ApiRouter::new().api_route("/payments", post_with(pay, documentation)).with_state(idempotency);
    let router = router.finish_api(&mut documented);
    (router, documented)
}

#[tokio::test]
async fn aide_takes_a_guarded_handler_and_documents_its_arguments() {
    let (_, documented) = api(Idempotency::new(MemoryStore::new()));
    let documented = serde_json::to_value(documented).unwrap();
    let operation = &documented["paths"]["/payments"]["post"];
    assert_eq!(body_schema(operation), "#/components/schemas/Payment", "{operation}");
    assert!(operation["responses"].get("200").is_some(), "{operation}");
    let service = Service::new(MemoryStore::new(), |idempotency| api(idempotency).0);
    service.post("/payments").key("k1").json(&json!({"amount": 5})).twice().await;
}

#[tokio::test]
async fn aide_takes_a_handler_with_a_transaction() {
    use cratestack_runtime::{SqliteStore, Tx};

    #[idempotent(transaction)]
    async fn pay(mut tx: Tx<sqlx::Sqlite>, Json(payment): Json<Payment>) -> Result<Json<Payment>, StatusCode> {
        let one = sqlx::query_scalar("SELECT 1").fetch_one(&mut *tx).await;
        let one: u32 = one.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Json(Payment { amount: payment.amount + one }))
    }

    #[derive(Clone, FromRef)]
    struct App {
        idempotency: Idempotency<SqliteStore>,
    }

    let mut documented = OpenApi::default();
    let folder = tempfile::tempdir().unwrap();
    let path = format!("sqlite://{}/aide.db?mode=rwc", folder.path().display());
    let store = SqliteStore::new(sqlx::SqlitePool::connect(&path).await.unwrap());
    store.migrate().await.unwrap();
    let routes = || ApiRouter::new().api_route("/payments", aide::axum::routing::post(pay));
    let app = App { idempotency: Idempotency::transactional(store.clone()) };
    let _ = routes().with_state::<()>(app).finish_api(&mut documented);
    let documented = serde_json::to_value(documented).unwrap();
    assert_eq!(body_schema(&documented["paths"]["/payments"]["post"]), "#/components/schemas/Payment");
    let service = Service::transactional(store, move |idempotency| routes().with_state(App { idempotency }).into());
    let [first, _] = service.post("/payments").key("k1").json(&json!({"amount": 5})).twice().await;
    assert_eq!(first.json::<Value>(), json!({"amount": 6}));
}
