//! reqwest, which needs no program of its own.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest_middleware::ClientBuilder;
use reqwest_retry::RetryTransientMiddleware;
use reqwest_retry::policies::ExponentialBackoff;

use crate::programs::{Intent, Mode, Told};

#[path = "../../clients/rust/with_reqwest.rs"]
mod with_reqwest;

#[path = "../../clients/rust/with_multipart.rs"]
mod with_multipart;

pub use with_multipart::buffer;
pub use with_reqwest::client;

pub async fn pay(mode: Mode, intent: &Intent) -> Told {
    let timeout = Duration::from_secs(intent.timeout.into());
    let sent = match mode {
        Mode::Safe => with_reqwest::pay(&client(), &intent.url, intent.key, intent.payment, timeout).await,
        Mode::Plain | Mode::Bare => {
            let builder = ClientBuilder::new(reqwest::Client::new());
            let quick = ExponentialBackoff::builder().retry_bounds(Duration::from_millis(50), Duration::from_secs(1));
            let client = match mode {
                Mode::Bare => builder.build(),
                _ => builder.with(RetryTransientMiddleware::new_with_policy(quick.build_with_max_retries(2))).build(),
            };
            let request = client.post(&intent.url).header("idempotency-key", intent.key);
            request.header(CONTENT_TYPE, "application/json").body(intent.payment).timeout(timeout).send().await
        }
    };
    let failed = |error: &dyn std::fmt::Display| Told { status: None, body: None, error: Some(error.to_string()) };
    match sent {
        Err(error) => failed(&error),
        Ok(response) => {
            let status = response.status().as_u16();
            match response.text().await {
                Ok(body) => Told { status: Some(status), body: Some(body), error: None },
                Err(error) => Told { status: Some(status), ..failed(&error) },
            }
        }
    }
}
