#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

mod payments {
    use super::{idempotent, prefix};

    pub(super) fn local(body: &str) -> usize {
        body.len()
    }

    #[idempotent(key = self::local(body))]
    pub(crate) async fn pay(body: self::inner::Alias) -> String {
        format!("{} {}", prefix(), self::local(&body))
    }

    pub(crate) mod inner {
        pub(crate) type Alias = String;

        #[cratestack_runtime::idempotent]
        pub(in crate::payments) async fn hidden() -> &'static str {
            super::super::prefix()
        }
    }

    pub(crate) fn route() -> axum::routing::MethodRouter<super::Idempotency> {
        super::post(inner::hidden)
    }
}

fn prefix() -> &'static str {
    "paid"
}

fn local() -> axum::routing::MethodRouter<Idempotency> {
    #[idempotent]
    async fn within_a_function(body: String) -> String {
        struct Line(String);
        impl Line {
            fn into(self) -> String {
                self.0
            }
        }
        Line(body).into()
    }
    post(within_a_function)
}

fn main() {
    let _: Router<Idempotency> =
        Router::new().route("/0", post(payments::pay)).route("/1", payments::route()).route("/2", local());
}
