use std::time::Duration;

use reqwest::{Request, Response, StatusCode, header};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_failure};

fn again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 409 | 429 | 502..=504)
}

struct Again;

impl RetryableStrategy for Again {
    fn handle(&self, result: &Result<Response>) -> Option<Retryable> {
        match result {
            Ok(response) => again(response.status()).then_some(Retryable::Transient),
            Err(error) => default_on_request_failure(error),
        }
    }
}

/// reqwest-retry does not read `Retry-After`: this waits as it says, before reqwest-retry adds its backoff.
struct RetryAfter;

#[async_trait::async_trait]
impl Middleware for RetryAfter {
    async fn handle(&self, request: Request, extensions: &mut http::Extensions, next: Next<'_>) -> Result<Response> {
        let response = next.run(request, extensions).await?;
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(seconds) = seconds.filter(|_| again(response.status())) {
            tokio::time::sleep(Duration::from_secs(seconds).min(Duration::from_secs(60))).await;
        }
        Ok(response)
    }
}

pub fn client() -> ClientWithMiddleware {
    let backoff = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_millis(500), Duration::from_secs(30))
        .build_with_max_retries(5);
    ClientBuilder::new(reqwest::Client::new())
        .with(RetryTransientMiddleware::new_with_policy_and_strategy(backoff, Again))
        .with(RetryAfter)
        .build()
}

pub async fn pay(
    http: &ClientWithMiddleware,
    url: &str,
    key: &str,
    payment: &'static str,
    timeout: Duration,
) -> Result<Response> {
    http.post(url)
        .header("Idempotency-Key", format!("\"{key}\""))
        .header(header::CONTENT_TYPE, "application/json")
        .body(payment)
        .timeout(timeout)
        .send()
        .await
}
