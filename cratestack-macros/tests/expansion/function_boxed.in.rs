    #[idempotent(name = "ship", handle = self.idempotency, key = parcel.id)]
    fn ship<'life0, 'async_trait>(&'life0 self, parcel: Parcel) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move { self.carrier.ship(parcel).await })
    }
