#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

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
    let _: Router<Idempotency> = Router::new().route("/0", post(Books::pay));
}
