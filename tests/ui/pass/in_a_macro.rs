#![deny(warnings)]
//! The attribute inside a user's `macro_rules!`.

use axum::Router;
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};

macro_rules! handler {
    ($name:ident, $text:expr, $ty:ty, $argument:ident, $key:expr) => {
        #[idempotent(key = $key)]
        async fn $name($argument: $ty) -> &'static str {
            let _ = $argument;
            $text
        }
    };
}

handler!(first, "first", String, body, body.len());

macro_rules! impls {
    ($($ty:ident),*) => {$(
        impl $ty {
            #[idempotent]
            async fn pay() -> &'static str {
                Self::NAME
            }
        }
    )*};
}

struct Books;
impl Books {
    const NAME: &'static str = "books";
}
impls!(Books);

fn main() {
    let _: Router = Router::new()
        .route("/a", post(first))
        .route("/b", post(Books::pay))
        .with_state(Idempotency::new(MemoryStore::new()));
}
