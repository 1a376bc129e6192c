#[idempotent(key = self.id)]
fn pay(self, body: String) -> impl Future<Output = Self> + Send {
    Self::paid(self.id, body)
}
