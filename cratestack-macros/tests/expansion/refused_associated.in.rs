#[idempotent(key = req.id.await)]
async fn pay(&self, Json(req): Json<CreatePayment>) {
    self.settle(req);
}
