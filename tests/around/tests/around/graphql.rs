//! async-graphql: every operation comes in by one endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_graphql::{Context, EmptySubscription, Object, Schema};
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::testing::Service;
use cratestack_runtime::{Idempotency, MemoryStore, Unrecorded, idempotent};
use serde_json::{Value, json};

struct Query;

#[Object]
#[allow(clippy::unused_async)] // As `Object` asks for them.
impl Query {
    async fn paid(&self, context: &Context<'_>) -> u32 {
        context.data_unchecked::<Arc<AtomicU32>>().load(Ordering::SeqCst)
    }
}

struct Mutation;

#[Object]
#[allow(clippy::unused_async)] // As `Object` asks for them.
impl Mutation {
    async fn pay(&self, context: &Context<'_>, amount: u32) -> async_graphql::Result<u32> {
        if amount == 0 {
            return Err("the provider is away".into());
        }
        Ok(context.data_unchecked::<Arc<AtomicU32>>().fetch_add(amount, Ordering::SeqCst) + amount)
    }
}

type Api = Schema<Query, Mutation, EmptySubscription>;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    schema: Api,
}

/// Queries come without a key, mutations with one. GraphQL's errors are a 200: what is not to be kept says so.
#[idempotent(optional)]
async fn graphql(State(schema): State<Api>, request: GraphQLRequest) -> Response {
    let response = schema.execute(request.into_inner()).await;
    let failed = response.is_err();
    let response = GraphQLResponse::from(response);
    if failed { (Unrecorded, response).into_response() } else { response.into_response() }
}

/// A client that cannot set a header for each operation says its key in the request's `extensions`.
fn key_of(request: &GraphQLRequest) -> Option<String> {
    match request.0.extensions.get("idempotencyKey") {
        Some(async_graphql::Value::String(key)) => Some(key.clone()),
        _ => None,
    }
}

#[idempotent(optional, handle = app.idempotency, key = key_of(&request))]
async fn keyed_by_extension(State(app): State<App>, request: GraphQLRequest) -> GraphQLResponse {
    app.schema.execute(request.into_inner()).await.into()
}

fn app(idempotency: Idempotency, paid: Arc<AtomicU32>) -> Router {
    let schema = Schema::build(Query, Mutation, EmptySubscription).data(paid).finish();
    Router::new()
        .route("/graphql", post(graphql))
        .route("/keyed", post(keyed_by_extension))
        .with_state(App { idempotency, schema })
}

#[tokio::test]
async fn a_mutation_is_made_once_by_the_key_in_its_extensions() {
    let paid = Arc::new(AtomicU32::new(0));
    let outside = Arc::clone(&paid);
    let service = Service::new(MemoryStore::new(), move |idempotency| app(idempotency, Arc::clone(&outside)));
    let operation = |text: &str, key: Option<&str>| {
        let extensions = key.map(|key| json!({ "idempotencyKey": key }));
        service.post("/keyed").json(&json!({ "query": text, "extensions": extensions }))
    };
    operation("mutation { pay(amount: 5) }", Some("a")).twice().await;
    operation("mutation { pay(amount: 5) }", Some("b")).twice().await;
    assert_eq!(operation("{ paid }", None).send().await.json::<Value>()["data"]["paid"], 10);
    let other = operation("mutation { pay(amount: 6) }", Some("a")).send().await;
    assert_eq!(other.status(), 422);
    assert_eq!(paid.load(Ordering::SeqCst), 10);
}

#[tokio::test]
async fn a_mutation_with_a_key_is_made_once_and_queries_are_free() {
    let paid = Arc::new(AtomicU32::new(0));
    let outside = Arc::clone(&paid);
    let service = Service::new(MemoryStore::new(), move |idempotency| app(idempotency, Arc::clone(&outside)));
    let operation = |text: &str| service.post("/graphql").json(&json!({"query": text}));

    let query = operation("{ paid }");
    assert_eq!(query.send().await.json::<Value>()["data"]["paid"], 0);
    let [first, _] = operation("mutation { pay(amount: 5) }").key("k1").twice().await;
    assert_eq!(first.json::<Value>()["data"]["pay"], 5);
    assert_eq!(query.send().await.json::<Value>()["data"]["paid"], 5, "a query is no replay");

    let failed = operation("mutation { pay(amount: 0) }").key("k2");
    for _ in 0..2 {
        let answer = failed.send().await;
        assert!(!answer.is_replay() && answer.json::<Value>()["errors"].is_array(), "it ran again: {answer:?}");
    }
    let other = operation("mutation { pay(amount: 6) }").key("k1").send().await;
    assert_eq!(other.status(), 422);
}
