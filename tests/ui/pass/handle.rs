//! `handle = …`, in the shapes of an expression and of a handler.

use std::sync::{Arc, LazyLock};

use axum::extract::{Extension, FromRequestParts, Json, Path, State};
use axum::http::request::Parts;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};

static SHARED: LazyLock<Idempotency> = LazyLock::new(|| Idempotency::new(MemoryStore::new()));

#[derive(Clone)]
pub struct App {
    idempotency: Idempotency,
    name: String,
}

impl App {
    fn handle(&self) -> Idempotency {
        self.idempotency.clone()
    }
}

pub struct Desk(App);

impl FromRequestParts<App> for Desk {
    type Rejection = ();

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, ()> {
        Ok(Self(app.clone()))
    }
}

impl Desk {
    #[idempotent(handle = self.0.idempotency, key = body)]
    pub async fn method(self, body: String) -> String {
        self.0.name + &body
    }

    #[idempotent(handle = self.0.handle())]
    async fn alone(self) {}

    #[idempotent(handle = desk.0.idempotency)]
    fn plain(desk: Self, body: String) -> impl std::future::Future<Output = String> + Send {
        std::future::ready(desk.0.name + &body)
    }
}

struct Generic<T>(T);

impl<T: Clone + Send + Sync + Into<Idempotency> + 'static> Generic<T> {
    #[idempotent(handle = (*handle).clone().into())]
    async fn pay(State(handle): State<T>, body: String) -> String {
        drop(handle);
        body
    }
}

#[idempotent(handle = app.idempotency)]
pub async fn used_by_the_expression_alone(State(app): State<App>, _: String) {}

#[idempotent(handle = app.idempotency, optional, ttl = "1h", body_limit = 1000)]
async fn mutable(State(mut app): State<App>, Path(id): Path<u64>, Json(body): Json<u64>) -> String {
    app.name.push_str(&(id + body).to_string());
    app.name
}

#[idempotent(handle = *SHARED)]
async fn of_static() {}

#[idempotent(handle = h, state = ())]
async fn of_extension(Extension(h): Extension<Idempotency>) {}

#[idempotent(handle = app.handle(), state = Arc<App>)]
async fn of_arc(reservation: Reservation, State(app): State<Arc<App>>, mut body: String) -> String {
    body.push_str(reservation.key());
    body + &app.name
}

#[idempotent(handle = { let it = &app; it.idempotency.clone() })]
async fn of_block<const N: usize>(State(app): State<App>, body: String) -> String {
    format!("{N} {} {body}", app.name)
}

macro_rules! handler {
    ($name:ident, $app:ident, $handle:expr) => {
        #[idempotent(handle = $handle)]
        async fn $name(State($app): State<App>, body: String) -> String {
            $app.name + &body
        }
    };
}

handler!(of_macro, app, app.idempotency);

fn main() {
    let idempotency = Idempotency::new(MemoryStore::new());
    let app = App { idempotency: idempotency.clone(), name: String::new() };
    let _: Router = Router::new()
        .route("/1", post(Desk::method))
        .route("/2", post(Desk::alone))
        .route("/3", post(Desk::plain))
        .route("/4", post(used_by_the_expression_alone))
        .route("/5/{id}", post(mutable))
        .route("/6", post(of_block::<7>))
        .route("/7", post(of_macro))
        .with_state(app.clone())
        .route("/8", post(of_static))
        .route("/9", post(of_extension))
        .with_state::<()>(())
        .merge(Router::new().route("/10", post(of_arc)).with_state(Arc::new(app)))
        .merge(Router::new().route("/11", post(Generic::<Idempotency>::pay)).with_state(idempotency));
    let _ = Generic(());
}
