//! A real server on a real socket, and a plain client of it.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub struct Server {
    pub address: SocketAddr,
    serving: AbortHandle,
}

impl Server {
    /// It speaks HTTP/1.1 and, to who does so first, HTTP/2.
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() }).abort_handle();
        Self { address, serving }
    }

    /// Sends a `POST` with these headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, headers, Body::from(body.into())).await
    }

    /// The same, with a body whose length is not announced.
    pub async fn post_stream(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        pieces: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
    ) -> Answer {
        self.send(Method::POST, path, headers, Body::from_stream(pieces)).await
    }

    /// Sends any request.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }
}
