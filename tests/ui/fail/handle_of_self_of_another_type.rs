use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use cratestack_runtime::idempotent;

struct Desk {
    name: String,
}

impl<S: Sync> FromRequestParts<S> for Desk {
    type Rejection = ();

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, ()> {
        Err(())
    }
}

impl Desk {
    #[idempotent(handle = self.name)]
    async fn pay(self, body: String) {
        let _ = (self.name, body);
    }
}

fn main() {}
