//! Handlers as axum's examples write them: each bare one compiles with the attribute, and without a warning.

#![deny(warnings)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};

use axum::body::{Body, Bytes};
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection};
use axum::extract::{
    ConnectInfo, Extension, Form, FromRef, FromRequest, FromRequestParts, Json, MatchedPath, OptionalFromRequestParts,
    OriginalUri, Path, Query, RawForm, RawPathParams, RawQuery, Request, State,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version as HttpVersion, header};
use axum::response::{AppendHeaders, Html, IntoResponse, NoContent, Redirect, Response, Result as AxumResult};
use axum::routing::{any, delete, get, post};
use axum::{Router, middleware};
use cratestack_runtime::{Idempotency, idempotent};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Clone, Debug, Deserialize, Serialize)]
struct User {
    id: u64,
    username: String,
}

type Db = Arc<RwLock<HashMap<String, Bytes>>>;

struct Inner {
    idempotency: Idempotency,
    users: Mutex<Vec<User>>,
    db: Db,
}

type AppState = Arc<Inner>;

impl FromRef<Inner> for Idempotency {
    fn from_ref(inner: &Inner) -> Self {
        inner.idempotency.clone()
    }
}

/// A router of all of these.
macro_rules! handlers {
    ($($name:ident),* $(,)?) => {
        Router::new()$(.route(concat!("/", stringify!($name), "/{id}"), any($name)))*
    };
}

fn routes() -> Router<AppState> {
    handlers![
        root,
        html,
        create_user,
        list_users,
        get_key,
        set_key,
        delete_key,
        submit_form,
        ignore_none,
        proxy,
        protected,
        optional_user,
        login,
        logout,
        print_body,
        json_or_form,
        app_json,
        validated,
        versioned,
        stream_to_file,
        upload,
        whole_tuple,
        headers_and_method,
        matched,
        connect_info,
        raw_parts,
        raw_form,
        extension,
        rejections,
        anyhow_like,
        question_mark,
        cookies,
        redirect,
        no_content,
        connection,
        buffered,
        static_str,
        boxed_future,
        opaque_future,
        nested_result,
        axum_result,
        body_of_any_kind,
        content_disposition,
        unit,
        never_fails,
        http_version,
    ]
    .route("/delete", delete(delete_all_keys).put(create_user).get(root))
    .route("/generic", post(create_generic::<Memory>).get(list_generic::<Memory>))
    .merge(close_together())
    .route_layer(middleware::from_fn(|request: Request, next: middleware::Next| async { next.run(request).await }))
}

#[idempotent]
async fn root() -> &'static str {
    "Hello, World!"
}

#[idempotent]
async fn html() -> Html<&'static str> {
    Html("<h1>Hello, World!</h1>")
}

#[idempotent]
async fn create_user(State(state): State<AppState>, Json(payload): Json<User>) -> (StatusCode, Json<User>) {
    state.users.lock().expect("nobody panics").push(payload.clone());
    (StatusCode::CREATED, Json(payload))
}

#[derive(Debug, Deserialize, Default)]
struct Pagination {
    offset: Option<usize>,
    limit: Option<usize>,
}

#[idempotent]
async fn list_users(Query(pagination): Query<Pagination>, State(state): State<AppState>) -> impl IntoResponse {
    let users = state.users.lock().expect("nobody panics");
    let users = users.iter().skip(pagination.offset.unwrap_or(0)).take(pagination.limit.unwrap_or(usize::MAX));
    Json(users.cloned().collect::<Vec<_>>())
}

#[idempotent]
async fn get_key(Path(key): Path<String>, State(state): State<AppState>) -> Result<Bytes, StatusCode> {
    let db = &state.db.read().expect("nobody panics");
    if let Some(value) = db.get(&key) { Ok(value.clone()) } else { Err(StatusCode::NOT_FOUND) }
}

#[idempotent]
async fn set_key(Path(key): Path<String>, State(state): State<AppState>, bytes: Bytes) {
    state.db.write().expect("nobody panics").insert(key, bytes);
}

#[idempotent]
async fn delete_key(Path(key): Path<String>, State(state): State<AppState>) {
    state.db.write().expect("nobody panics").remove(&key);
}

#[idempotent]
async fn delete_all_keys(State(state): State<AppState>) {
    state.db.write().expect("nobody panics").clear();
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    #[serde(default)]
    email: Option<String>,
}

#[idempotent]
async fn submit_form(Form(input): Form<Input>) -> Html<String> {
    Html(format!("{} {:?}", input.name, input.email))
}

#[idempotent]
async fn ignore_none(Query(params): Query<HashMap<String, String>>) -> String {
    format!("{params:?}")
}

#[idempotent]
async fn proxy(State(_): State<AppState>, mut req: Request) -> Result<Response, StatusCode> {
    let path = req.uri().path_and_query().map_or("/", |path| path.as_str());
    *req.uri_mut() = Uri::try_from(format!("http://127.0.0.1:3000{path}")).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Response::new(req.into_body()))
}

#[derive(Debug)]
struct Claims {
    sub: String,
}

#[derive(Debug)]
enum AuthError {
    MissingCredentials,
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        (StatusCode::UNAUTHORIZED, format!("{self:?}")).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Claims {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let sub = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        Ok(Self { sub: sub.ok_or(AuthError::MissingCredentials)?.to_owned() })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Claims {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(<Self as FromRequestParts<S>>::from_request_parts(parts, state).await.ok())
    }
}

#[idempotent(principal = claims.sub)]
async fn protected(claims: Claims) -> Result<String, AuthError> {
    Ok(format!("Welcome to the protected area: {claims:?}"))
}

#[idempotent]
async fn optional_user(user: Option<Claims>) -> impl IntoResponse {
    match user {
        Some(user) => format!("Hey {}! You're logged in!", user.sub),
        None => "You're not logged in.".to_string(),
    }
}

#[idempotent]
async fn login(State(_): State<AppState>, Query(query): Query<Input>) -> Result<impl IntoResponse, AppError> {
    if query.name.is_empty() {
        return Err(AppError("no name".into()));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, "session=1".parse()?);
    Ok((headers, Redirect::to("/")))
}

#[idempotent]
async fn logout(State(_): State<AppState>, user: Option<Claims>) -> Result<impl IntoResponse, AppError> {
    let Some(_) = user else { return Ok(Redirect::to("/")) };
    Ok(Redirect::to("/bye"))
}

struct BufferRequestBody(Bytes);

impl<S: Send + Sync> FromRequest<S> for BufferRequestBody {
    type Rejection = Response;

    async fn from_request(req: Request, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Bytes::from_request(req, state).await.map_err(IntoResponse::into_response)?))
    }
}

#[idempotent]
async fn print_body(BufferRequestBody(body): BufferRequestBody) {
    println!("{body:?}");
}

struct JsonOrForm<T>(T);

impl<S, T> FromRequest<S> for JsonOrForm<T>
where
    S: Send + Sync,
    T: DeserializeOwned + 'static,
{
    type Rejection = Response;

    async fn from_request(req: Request, state: &S) -> Result<Self, Self::Rejection> {
        let Json(payload) = Json::<T>::from_request(req, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(payload))
    }
}

#[idempotent]
async fn json_or_form(JsonOrForm(payload): JsonOrForm<Input>) -> String {
    payload.name
}

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(AppError))]
struct AppJson<T>(T);

impl<T: Serialize> IntoResponse for AppJson<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

#[idempotent]
async fn app_json(State(_): State<AppState>, AppJson(user): AppJson<User>) -> Result<AppJson<User>, AppError> {
    Ok(AppJson(user))
}

#[derive(Debug, Clone, Copy, Default)]
struct ValidatedForm<T>(T);

impl<T, S> FromRequest<S> for ValidatedForm<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
    Form<T>: FromRequest<S, Rejection = FormRejection>,
{
    type Rejection = FormRejection;

    async fn from_request(req: Request, state: &S) -> Result<Self, Self::Rejection> {
        let Form(value) = Form::<T>::from_request(req, state).await?;
        Ok(Self(value))
    }
}

#[idempotent]
async fn validated(ValidatedForm(input): ValidatedForm<Input>) -> Html<String> {
    Html(input.name)
}

#[derive(Debug)]
enum Version {
    V1,
}

impl<S: Send + Sync> FromRequestParts<S> for Version {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::V1)
    }
}

#[idempotent]
async fn versioned(version: Version, Path((_, id)): Path<(String, u64)>) -> Html<String> {
    Html(format!("{version:?} {id}"))
}

#[idempotent]
async fn stream_to_file(Path(file_name): Path<String>, request: Request) -> Result<(), (StatusCode, String)> {
    if file_name.contains("..") {
        return Err((StatusCode::BAD_REQUEST, "Invalid path".to_owned()));
    }
    drop(request.into_body().into_data_stream());
    Ok(())
}

#[idempotent(optional, body_limit = 250_000_000)]
async fn upload(body: Body) -> Result<(StatusCode, String), StatusCode> {
    let bytes = axum::body::to_bytes(body, 1024).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok((StatusCode::CREATED, bytes.len().to_string()))
}

#[idempotent]
async fn whole_tuple((method, uri, headers): (Method, Uri, HeaderMap), body: String) -> String {
    format!("{method} {uri} {} {body}", headers.len())
}

#[idempotent]
async fn headers_and_method(method: Method, headers: HeaderMap) -> (HeaderMap, String) {
    (headers, method.to_string())
}

#[idempotent]
async fn matched(path: MatchedPath, OriginalUri(uri): OriginalUri) -> String {
    format!("{} {uri}", path.as_str())
}

#[idempotent]
async fn connect_info(ConnectInfo(address): ConnectInfo<SocketAddr>) -> String {
    address.to_string()
}

#[idempotent]
async fn raw_parts(RawQuery(query): RawQuery, params: RawPathParams, parts: Parts) -> String {
    format!("{query:?} {} {:?}", params.iter().count(), parts.version)
}

#[idempotent]
async fn raw_form(RawForm(form): RawForm) -> Vec<u8> {
    form.to_vec()
}

#[idempotent]
async fn extension(Extension(user): Extension<User>, other: Option<Extension<Arc<str>>>) -> Json<User> {
    drop(other);
    Json(user)
}

#[idempotent]
async fn rejections(
    path: Result<Path<u64>, PathRejection>,
    body: Result<Json<User>, JsonRejection>,
) -> Result<Json<User>, (StatusCode, String)> {
    if let Err(PathRejection::FailedToDeserializePathParams(inner)) = &path {
        return Err((StatusCode::BAD_REQUEST, inner.body_text()));
    }
    let Json(user) = body.map_err(|rejection| (rejection.status(), rejection.body_text()))?;
    Ok(Json(user))
}

struct AppError(Box<dyn std::error::Error + Send + Sync>);

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("Something went wrong: {}", self.0)).into_response()
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for AppError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<JsonRejection> for AppErrorOfJson {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection)
    }
}

struct AppErrorOfJson(JsonRejection);

impl IntoResponse for AppErrorOfJson {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

#[idempotent]
async fn anyhow_like() -> Result<(), AppError> {
    let _: u8 = "7".parse()?;
    Err(AppError("it failed".into()))
}

#[idempotent]
async fn question_mark(body: Result<Json<User>, JsonRejection>) -> Result<String, AppErrorOfJson> {
    Ok(body?.0.username)
}

#[idempotent]
async fn cookies() -> (AppendHeaders<[(header::HeaderName, &'static str); 2]>, Bytes) {
    (AppendHeaders([(header::SET_COOKIE, "a=1"), (header::SET_COOKIE, "b=2")]), Bytes::new())
}

#[idempotent]
async fn redirect() -> Redirect {
    Redirect::temporary("/")
}

#[idempotent]
async fn no_content() -> NoContent {
    NoContent
}

struct DatabaseConnection(Db);

impl<S> FromRequestParts<S> for DatabaseConnection
where
    AppState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = (StatusCode, String);

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(AppState::from_ref(state).db.clone()))
    }
}

#[idempotent]
async fn connection(DatabaseConnection(conn): DatabaseConnection) -> Result<String, (StatusCode, String)> {
    Ok(conn.read().map_err(internal_error)?.len().to_string())
}

fn internal_error<E: std::fmt::Display>(err: E) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, err.to_string())
}

#[idempotent]
async fn buffered(mut body: Bytes) -> Bytes {
    body.split_off(body.len() / 2)
}

#[idempotent]
async fn static_str(_: State<AppState>) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    (StatusCode::OK, [("x-foo", "bar")], "static")
}

#[idempotent]
fn boxed_future(body: String) -> std::pin::Pin<Box<dyn Future<Output = String> + Send>> {
    Box::pin(async move { body })
}

#[idempotent]
fn opaque_future(Path(id): Path<u64>) -> impl Future<Output = Result<Json<u64>, StatusCode>> + Send + 'static {
    let id = id + 1;
    async move { Ok(Json(id)) }
}

#[idempotent]
async fn nested_result() -> Result<Result<String, StatusCode>, AppError> {
    Ok(Err(StatusCode::IM_A_TEAPOT))
}

#[idempotent]
async fn axum_result() -> AxumResult<String> {
    Err(StatusCode::IM_A_TEAPOT)?
}

#[idempotent]
async fn body_of_any_kind(Path(()): Path<()>, body: Option<Json<User>>) -> Response<Body> {
    body.map_or_else(|| Response::new(Body::empty()), IntoResponse::into_response)
}

#[idempotent]
async fn content_disposition() -> impl IntoResponse {
    let headers = [(header::CONTENT_DISPOSITION, "attachment; filename=\"a.toml\"")];
    (headers, Body::from("[package]"))
}

#[idempotent]
async fn unit((): ()) {}

#[idempotent]
async fn never_fails(Json(user): Json<User>) -> Result<Json<User>, Infallible> {
    Ok(Json(user))
}

#[idempotent]
async fn http_version(version: HttpVersion, State(users): State<AppState>) -> String {
    format!("{version:?} {}", users.users.lock().map(|users| users.len()).unwrap_or_default())
}

trait UserRepo: Send + Sync {
    fn get_user(&self, id: u64) -> Option<User>;
    fn save_user(&self, user: &User);
}

#[derive(Debug, Clone, Default)]
struct Memory {
    map: Arc<Mutex<HashMap<u64, User>>>,
}

impl UserRepo for Memory {
    fn get_user(&self, id: u64) -> Option<User> {
        self.map.lock().expect("nobody panics").get(&id).cloned()
    }

    fn save_user(&self, user: &User) {
        self.map.lock().expect("nobody panics").insert(user.id, user.clone());
    }
}

impl FromRef<Arc<Inner>> for Memory {
    fn from_ref(_: &Arc<Inner>) -> Self {
        Self::default()
    }
}

#[idempotent]
async fn create_generic<T>(State(repo): State<T>, Json(user): Json<User>) -> Json<User>
where
    T: UserRepo + 'static,
{
    repo.save_user(&user);
    Json(user)
}

#[idempotent]
async fn list_generic<T: UserRepo + 'static>(
    State(repo): State<T>,
    Path(id): Path<u64>,
) -> Result<Json<User>, StatusCode> {
    repo.get_user(id).map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// A handler within the function that mounts it.
fn close_together() -> Router<AppState> {
    #[idempotent]
    async fn handler(State(state): State<AppState>, Json(user): Json<User>) -> Result<Json<User>, StatusCode> {
        let mut users = state.users.lock().map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        users.push(user.clone());
        Ok(Json(user))
    }

    #[idempotent]
    async fn opaque() -> impl IntoResponse {
        StatusCode::OK
    }

    Router::new().route("/close", get(opaque).post(handler))
}

fn main() {
    let state: Option<AppState> = None;
    let _ = state.map(|state| routes().with_state::<()>(state));
}
