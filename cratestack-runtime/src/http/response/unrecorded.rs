use std::convert::Infallible;

use axum::response::{IntoResponseParts, ResponseParts};

/// Tags a response whose request did nothing: it is not recorded, and its key is given back, so that a retry runs the
/// handler again.
///
/// Only say so where it is certain. A timeout of a payment provider is no such case: the payment may have been made.
///
/// ```
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse, Response};
/// use cratestack_runtime::Unrecorded;
///
/// fn busy() -> Response {
///     (StatusCode::SERVICE_UNAVAILABLE, Unrecorded, "no stock reserved, send it again").into_response()
/// }
/// # let _ = busy();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unrecorded;

impl IntoResponseParts for Unrecorded {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        response.extensions_mut().insert(self);
        Ok(response)
    }
}
