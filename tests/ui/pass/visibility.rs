#![deny(warnings)]

use axum::{Router, routing::post};
use cratestack_runtime::Idempotency;

mod inner {
    use cratestack_runtime::idempotent;

    #[idempotent]
    pub(crate) async fn a() {}

    #[idempotent]
    pub(super) async fn b() {}

    #[idempotent]
    pub(in crate::inner) async fn c() {}

    pub(crate) fn d() {
        let _ = c;
    }
}

fn main() {
    inner::d();
    let _: Router<Idempotency> = Router::new().route("/0", post(inner::a)).route("/1", post(inner::b));
}
