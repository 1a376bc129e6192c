//! A payment provider that is idempotent itself: one authorization and one capture for each key that it is shown.

use std::collections::HashMap;

use tokio::sync::Mutex;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::payments::provider_server::Provider;
use crate::payments::{Authorization, AuthorizeRequest, CaptureRequest, Receipt};

#[derive(Default)]
pub(crate) struct InMemory {
    ids: Mutex<HashMap<String, Uuid>>,
}

impl InMemory {
    async fn id(&self, key: String) -> String {
        self.ids.lock().await.entry(key).or_insert_with(Uuid::new_v4).to_string()
    }
}

#[tonic::async_trait]
impl Provider for InMemory {
    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Result<Response<Authorization>, Status> {
        let id = self.id(request.into_inner().idempotency_key).await;
        Ok(Response::new(Authorization { id }))
    }

    async fn capture(&self, request: Request<CaptureRequest>) -> Result<Response<Receipt>, Status> {
        let CaptureRequest { idempotency_key, cents, .. } = request.into_inner();
        Ok(Response::new(Receipt { capture: self.id(idempotency_key).await, cents }))
    }
}
