#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[idempotent]
async fn pay() -> String {
    struct Tax(u8);
    impl Tax {
        fn of(&self) -> Self {
            Self(self.0 + 1)
        }
    }
    self::helper(Tax(1).of().0)
}

fn helper(tax: u8) -> String {
    tax.to_string()
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}
