use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tower_service::Service;

use super::terms::Terms;
use crate::http::guard::{ArrivingRequest, Verdict};
use crate::http::response::Unrecorded;
use crate::http::work::Work;
use crate::util::lock;

/// A service that [`IdempotencyLayer`](crate::IdempotencyLayer) guards.
///
/// It takes requests with any body, and hands them on with axum's, whatever the answers' body is: that is axum's, too.
///
/// ```
/// use axum::body::Body;
/// use axum::http::{Request, StatusCode};
/// use axum::response::Response;
/// use cratestack_runtime::{Idempotency, IdempotencyLayer, IdempotencyService, MemoryStore};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// let gateway = service_fn(async |_: Request<Body>| Ok::<_, std::io::Error>(Response::new(Body::from("forwarded"))));
/// let gateway = IdempotencyLayer::new(Idempotency::new(MemoryStore::new())).layer(gateway);
///
/// let request = Request::post("/orders").header("authorization", "Bearer a").header("idempotency-key", "k1");
/// let response = gateway.oneshot(request.body(Body::from("1")).unwrap()).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IdempotencyService<S> {
    inner: S,
    terms: Arc<Terms>,
}

impl<S: fmt::Debug> fmt::Debug for IdempotencyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S> IdempotencyService<S> {
    pub(super) fn new(inner: S, terms: Terms) -> Self {
        Self { inner, terms: Arc::new(terms) }
    }
}

impl<S, B, R> Service<http::Request<B>> for IdempotencyService<S>
where
    S: Service<Request, Response = http::Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // The one that has been polled is ready, and its clone need not be.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let (parts, body) = request.into_parts();
        if !self.terms.is_for(&parts) {
            return pass(&mut ready, Request::from_parts(parts, Body::new(body)));
        }
        let terms = Arc::clone(&self.terms);
        let source = terms.key_source(&parts);
        let request = Request::from_parts(parts, Body::new(body));
        let (mut arriving, request) =
            ArrivingRequest::of(terms.idempotency.clone(), request, source, terms.body_bound());
        let (parts, body) = request.into_parts();
        terms.identify(&parts, arriving.request());
        let request = Request::from_parts(parts, body);
        // Whoever is refused for what the head says need not send a body.
        let verdict = arriving.request().verdict(&terms.options);
        if matches!(verdict, Verdict::Unguarded) {
            return pass(&mut ready, request);
        }
        Box::pin(guard(ready, request, arriving, verdict, terms))
    }
}

type ResponseFuture<E> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;

fn pass<S, R>(ready: &mut S, request: Request) -> ResponseFuture<S::Error>
where
    S: Service<Request, Response = http::Response<R>>,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let answered = ready.call(request);
    Box::pin(async move { Ok(answered.await?.map(Body::new)) })
}

async fn guard<S, R>(
    mut ready: S,
    request: Request,
    arriving: ArrivingRequest,
    verdict: Verdict,
    terms: Arc<Terms>,
) -> Result<Response, S::Error>
where
    S: Service<Request, Response = http::Response<R>> + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let guarded = match &verdict {
        Verdict::Guarded(_) => match arriving.admit().await {
            Ok(guarded) => guarded,
            Err(refused) => return Ok(refused),
        },
        // Nothing of the body counts.
        Verdict::Joined(_) | Verdict::Refused(_) | Verdict::Unguarded => arriving.unread(),
    };
    // The guard knows responses only, so that it is compiled once. An error goes beside it.
    let error = Arc::new(Mutex::new(None));
    let passed_on = Arc::clone(&error);
    let work: Work = Box::pin(async move {
        match ready.call(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                *lock(&passed_on) = Some(error);
                (Unrecorded, ()).into_response()
            }
        }
    });
    let response = guarded.run_as(verdict, terms.options, work).await;
    let error = lock(&error).take();
    error.map_or(Ok(response), Err)
}
