use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cratestack_runtime::idempotent;

struct Token(*const u8);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = ();

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, ()> {
        Err(())
    }
}

struct Shop<T>(T);

impl<T> Shop<T> {
    #[idempotent]
    async fn pay(token: Token) {
        drop(token);
    }
}

fn main() {}
