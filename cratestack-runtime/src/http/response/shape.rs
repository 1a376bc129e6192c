use std::panic::{AssertUnwindSafe, catch_unwind};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use tracing::error;

use super::marks::Marks;
use super::problem::Problem;

/// What the client gets where the service does not say otherwise.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.prefers_html() { self.page().map(Body::from) } else { self.details().map(Body::from) }
    }
}

/// What a service makes of problems.
pub(crate) type Shape = dyn Fn(Problem) -> Response + Send + Sync;

/// The response to a problem, as the service shapes it. What the protocol needs is in it whatever that gives: it is an
/// error, it says when to send the request again, no cache keeps it, and it does not pose as a replay.
pub(crate) fn shaped(problem: Problem, shape: Option<&Shape>, marks: &Marks) -> Response {
    let Some(shape) = shape else { return problem.into_response() };
    // The connection, and what else is on it, must not go down with the function.
    let shaped = catch_unwind(AssertUnwindSafe(|| shape(problem.clone())));
    let Ok(mut response) = shaped else {
        error!(
            code = problem.code(),
            "the function of `Idempotency::problems` panicked; the client gets the problem in its default shape"
        );
        return problem.into_response();
    };
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        *response.status_mut() = problem.status();
    }
    marks.remove_from(response.headers_mut());
    problem.keep_protocol(response.headers_mut());
    response
}
