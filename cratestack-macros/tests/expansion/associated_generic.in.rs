#[idempotent(key = self.id(&req))]
async fn pay<T, const N: usize>(self: Box<Self>, Json(req): Json<[T; N]>) -> StatusCode
where
    T: Send + 'static,
{
    self.settle(req).await
}
