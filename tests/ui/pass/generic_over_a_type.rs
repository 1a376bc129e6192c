#![deny(warnings)]
//! A type parameter, with bounds and a `where` clause.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use axum::extract::{FromRef, State};
trait Shop: Clone + Send + Sync + 'static {
    fn name(&self) -> String;
}

#[derive(Clone)]
struct Books(Idempotency);

impl Shop for Books {
    fn name(&self) -> String {
        "books".to_owned()
    }
}

impl FromRef<Books> for Idempotency {
    fn from_ref(books: &Books) -> Self {
        books.0.clone()
    }
}

#[idempotent]
async fn pay<S: Shop>(State(shop): State<S>) -> String
where
    S: Sync,
{
    shop.name()
}

fn main() {
    let _: Router = Router::new().route("/0", post(pay::<Books>)).with_state(Books(Idempotency::new(MemoryStore::new())));
}
