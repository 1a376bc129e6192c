//! tower-sessions and axum-login: whose key it is.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::post;
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId, login_required};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use tokio::sync::{Notify, Semaphore};
use tower_sessions::{MemoryStore as Sessions, Session, SessionManagerLayer};

use crate::server::{Answer, Server};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    runs: Arc<AtomicU32>,
}

fn app() -> (App, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    (App { idempotency: Idempotency::new(MemoryStore::new()), runs: Arc::clone(&runs) }, runs)
}

/// The cookie that an answer sets, as its browser sends it.
fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    cookie.split(';').next().unwrap().to_owned()
}

#[derive(Debug, Clone)]
struct User(i64);

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.0
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"password"
    }
}

#[derive(Clone, Default)]
struct Users(HashMap<i64, User>);

impl AuthnBackend for Users {
    type User = User;
    type Credentials = i64;
    type Error = Infallible;

    async fn authenticate(&self, id: i64) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(&id).cloned())
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(id).cloned())
    }
}

/// The user's key, whichever session he comes by, and nobody else's. Who has not logged in is told so by the layer,
/// before the guard.
#[tokio::test]
async fn a_key_is_the_users_whichever_session_he_comes_by() {
    async fn login(mut auth: AuthSession<Users>, id: String) -> Result<(), StatusCode> {
        let user = auth.authenticate(id.parse().map_err(|_| StatusCode::BAD_REQUEST)?).await;
        let user = user.ok().flatten().ok_or(StatusCode::UNAUTHORIZED)?;
        auth.login(&user).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }

    #[idempotent(principal = auth.user.as_ref().map(AuthUser::id))]
    async fn pay(State(runs): State<Arc<AtomicU32>>, auth: AuthSession<Users>, amount: String) -> String {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        format!("{amount} for {:?}, run {run}", auth.user)
    }

    let (app, runs) = app();
    let users = Users([1, 2].map(|id| (id, User(id))).into());
    let sessions = SessionManagerLayer::new(Sessions::default()).with_secure(false);
    let router = Router::new()
        .route("/payments", post(pay))
        .route_layer(login_required!(Users))
        .route("/login", post(login))
        .layer(AuthManagerLayerBuilder::new(users, sessions).build())
        .with_state(app);
    let server = Server::start(router).await;
    let login = async |user: &str| cookie(&server.post("/login", &[], user.to_owned()).await);
    let (alice, alices_phone, bob) = (login("1").await, login("1").await, login("2").await);
    assert_ne!(alice, alices_phone);
    let pay =
        async |cookie: &str| server.post("/payments", &[("idempotency-key", "k1"), ("cookie", cookie)], "5").await;

    let first = pay(&alice).await;
    assert_eq!((first.status, first.text()), (200, "5 for Some(User(1)), run 0"));
    let by_phone = pay(&alices_phone).await;
    assert!(by_phone.is_replay() && by_phone.body == first.body, "{by_phone:?}");
    let bobs = pay(&bob).await;
    assert_eq!((bobs.is_replay(), bobs.text()), (false, "5 for Some(User(2)), run 1"), "bob has a key of his own");
    let nobodys = pay("id=nobody").await;
    assert_eq!((nobodys.status, nobodys.is_replay()), (401, false), "{nobodys:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// Said once, for all handlers of a handle.
#[tokio::test]
async fn a_function_of_the_handle_says_who_has_logged_in() {
    async fn login(mut auth: AuthSession<Users>) {
        auth.login(&User(1)).await.unwrap();
    }

    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>) -> String {
        format!("run {}", runs.fetch_add(1, Ordering::SeqCst))
    }

    let (mut app, _) = app();
    app.idempotency = app.idempotency.principal(|request| {
        let auth = request.extensions.get::<AuthSession<Users>>()?;
        auth.user.as_ref().map(|user| format!("user:{}", user.id()))
    });
    let sessions = SessionManagerLayer::new(Sessions::default()).with_secure(false);
    let auth = AuthManagerLayerBuilder::new(Users([(1, User(1))].into()), sessions).build();
    let routes = Router::new().route("/payments", post(pay)).route("/login", post(login)).layer(auth);
    let server = Server::start(routes.with_state(app)).await;
    let (laptop, phone) = (server.post("/login", &[], "").await, server.post("/login", &[], "").await);
    let pay = async |cookie: &str| server.post("/payments", &[("idempotency-key", "k1"), ("cookie", cookie)], "").await;
    assert_eq!(pay(&cookie(&laptop)).await.text(), "run 0");
    let by_phone = pay(&cookie(&phone)).await;
    assert_eq!((by_phone.is_replay(), by_phone.text()), (true, "run 0"));
    assert_eq!(pay("id=nobody").await.status, 500, "nobody has logged in, and no layer says so");
}

/// Whose session it is, only the application knows.
#[tokio::test]
async fn a_cookie_without_a_principal_is_refused() {
    #[idempotent]
    async fn pay(State(runs): State<Arc<AtomicU32>>, session: Session) -> String {
        runs.fetch_add(1, Ordering::SeqCst);
        format!("{:?}", session.id())
    }
    let (app, runs) = app();
    let sessions = SessionManagerLayer::new(Sessions::default()).with_secure(false);
    let server = Server::start(Router::new().route("/payments", post(pay)).layer(sessions).with_state(app)).await;
    let refused = server.post("/payments", &[("idempotency-key", "k1"), ("cookie", "id=abc")], "").await;
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.text().contains("idempotency_caller_unknown"), "{refused:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

/// Of a site behind Basic authentication, or a gateway that signs in by a token of its own, the `Authorization` is
/// everybody's. Who the session's user is has to be said.
#[tokio::test]
async fn an_authorization_that_many_share_is_one_caller_until_the_service_says_who() {
    fn user(headers: &HeaderMap) -> &str {
        headers["cookie"].to_str().unwrap()
    }

    #[idempotent]
    async fn by_default(headers: HeaderMap) -> String {
        user(&headers).to_owned()
    }

    #[idempotent(principal = user(&headers))]
    async fn by_user(headers: HeaderMap) -> String {
        user(&headers).to_owned()
    }

    let routes = Router::new().route("/default", post(by_default)).route("/user", post(by_user));
    let server = Server::start(routes.with_state(Idempotency::new(MemoryStore::new()))).await;
    for (path, expected) in [("/default", "user=alice"), ("/user", "user=bob")] {
        let send = async |cookie: &str| {
            let headers = [("authorization", "Basic c2hhcmVk"), ("idempotency-key", path), ("cookie", cookie)];
            server.post(path, &headers, "").await
        };
        assert_eq!(send("user=alice").await.text(), "user=alice");
        assert_eq!(send("user=bob").await.text(), expected, "{path}");
    }
}

/// The layer around saves what a handler has changed once it is answered, and that is no part of a run: a client that
/// hangs up takes it along. A handler that saves by itself loses nothing.
#[tokio::test]
async fn what_a_handler_saves_in_its_session_is_there_though_the_client_hung_up() {
    #[derive(Clone, FromRef)]
    struct App {
        idempotency: Idempotency,
        gate: Arc<Semaphore>,
        gone: Arc<Notify>,
    }

    async fn change(session: &Session, gate: &Semaphore) {
        gate.acquire().await.unwrap().forget();
        session.insert("paid", true).await.unwrap();
    }

    #[idempotent(principal = "the only one", wait = "30s")]
    async fn pay(State(gate): State<Arc<Semaphore>>, session: Session) {
        change(&session, &gate).await;
    }

    #[idempotent(principal = "the only one", wait = "30s")]
    async fn pay_and_save(State(gate): State<Arc<Semaphore>>, session: Session) {
        change(&session, &gate).await;
        session.save().await.unwrap();
    }

    async fn begin(session: Session) {
        session.insert("paid", false).await.unwrap();
    }

    async fn paid(session: Session) -> String {
        format!("{:?}", session.get::<bool>("paid").await.unwrap())
    }

    /// Tells that the server has noticed.
    struct Gone(Arc<Notify>, bool);

    impl Drop for Gone {
        fn drop(&mut self) {
            if self.1 {
                self.0.notify_one();
            }
        }
    }

    async fn notice(State(gone): State<Arc<Notify>>, request: Request, next: Next) -> Response {
        let mut gone = Gone(gone, true);
        let response = next.run(request).await;
        gone.1 = false;
        response
    }

    for (path, expected) in [("/pay", "Some(false)"), ("/pay-and-save", "Some(true)")] {
        let idempotency = Idempotency::new(MemoryStore::new());
        let app = App { idempotency, gate: Arc::new(Semaphore::new(0)), gone: Arc::default() };
        let sessions = SessionManagerLayer::new(Sessions::default()).with_secure(false);
        let router = Router::new()
            .route("/begin", post(begin))
            .route("/paid", post(paid))
            .route("/pay", post(pay))
            .route("/pay-and-save", post(pay_and_save))
            .layer(sessions)
            .layer(axum::middleware::from_fn_with_state(app.clone(), notice));
        let server = Server::start(router.with_state(app.clone())).await;
        let cookie = cookie(&server.post("/begin", &[], "").await);
        let headers = [("idempotency-key", "k1"), ("cookie", cookie.as_str())];
        let hung_up = tokio::time::timeout(Duration::from_millis(200), server.post(path, &headers, "")).await;
        assert!(hung_up.is_err(), "{hung_up:?}");
        app.gone.notified().await;
        app.gate.add_permits(1);
        let retry = server.post(path, &headers, "").await;
        assert!(retry.status == 200 && retry.is_replay(), "{retry:?}");
        assert!(retry.header("set-cookie").is_none(), "a replay changes no session: {retry:?}");
        assert_eq!(server.post("/paid", &headers[1..], "").await.text(), expected, "{path}");
    }
}
