//! A router behind a real server, on a port of its own.

use std::net::SocketAddr;

use axum::Router;
use cratestack_tests::Client;
use tokio::net::TcpListener;

/// Serves the router for as long as the test's runtime lives.
pub async fn serve(router: Router) -> Client {
    Client::new(serve_at(router).await)
}

/// The same, where the address is needed.
pub async fn serve_at(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}
