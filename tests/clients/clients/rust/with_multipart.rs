use http_body_util::BodyExt as _;
use reqwest::{Request, Result};

/// Reads the body into memory, a form's with its boundary: every clone of the request then has the same bytes, and
/// reqwest-retry can make clones.
pub async fn buffer(mut request: Request) -> Result<Request> {
    if let Some(body) = request.body_mut().take() {
        let bytes = body.collect().await?.to_bytes();
        *request.body_mut() = Some(bytes.into());
    }
    Ok(request)
}
