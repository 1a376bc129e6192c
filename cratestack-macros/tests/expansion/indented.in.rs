    /// Pays.
    #[idempotent(key = id)]
    #[expect(clippy::unused_async)]
    pub async fn pay(State(store): State<S>, Path(id): Path<u64>, _: Json<T>) -> Result<impl IntoResponse, ApiError> {
        store.pay(id)
    }
