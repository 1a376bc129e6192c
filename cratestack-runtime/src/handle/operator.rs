use super::idempotency::Idempotency;
use super::namespace::record_id;
use super::principal::Principal;
use crate::store::{
    IdempotencyStore as _, IfRunning, RecordId, RecordInfo, RecordQuery, Removal, RemovalOutcome, RemovedAll,
    StoreError, Within,
};

/// How many records of a principal are removed by one statement.
const REMOVAL_BATCH: u32 = 1_000;

/// What an operator does. The command `cratestack-schema` does the same from outside.
///
/// Each of these sees the handle's [namespace](Self::namespace) and nothing else: a handle without one sees what is in
/// none. A transaction that is open has no record yet, so nothing is shown of it. Stores that do not implement these
/// methods answer [`StoreError::Unsupported`]; the ones of this crate all do.
impl<S: ?Sized> Idempotency<S> {
    /// Shows the record of a key, whatever its state; `None` where there is none.
    ///
    /// The key is as the table has it: the header's, without its quotes.
    ///
    /// ```
    /// use cratestack_runtime::records::Principal;
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// assert_eq!(idempotency.show(&Principal::authorization("Bearer sk_test_123"), "8e03978e").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or has no such method.
    pub async fn show(&self, principal: &Principal, key: &str) -> Result<Option<RecordInfo>, StoreError> {
        let id = self.id(principal, key);
        self.engine().store().show(id.principal(), id.key()).await
    }

    /// Lists records of the handle's namespace, the ones that were reserved first, first.
    ///
    /// It reads the table until it has as many as it was asked for.
    ///
    /// ```
    /// use cratestack_runtime::records::RecordQuery;
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// assert_eq!(idempotency.list(&RecordQuery::new(100)).await?, []);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or has no such method.
    pub async fn list(&self, query: &RecordQuery) -> Result<Vec<RecordInfo>, StoreError> {
        let within = match &self.settings().namespace {
            Some(name) => Within::Namespace(name.to_string()),
            None => Within::NoNamespace,
        };
        self.engine().store().list(&RecordQuery { within, ..query.clone() }).await
    }

    /// Gives a reservation back that has no outcome, so that any request may run under its key.
    ///
    /// Its effect may have happened: look before you do this. What an outcome is recorded of, and what has expired, is
    /// refused. So is what runs, unless you say [`IfRunning::Remove`]; its run then goes on, and nothing is recorded of
    /// it.
    ///
    /// ```
    /// use cratestack_runtime::records::{IfRunning, Principal, RemovalOutcome};
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// let released = idempotency.release(&Principal::named("alice"), "8e03978e", IfRunning::Refuse).await?;
    /// assert_eq!(released, RemovalOutcome::Absent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or has no such method. Calling again is safe.
    pub async fn release(
        &self,
        principal: &Principal,
        key: &str,
        if_running: IfRunning,
    ) -> Result<RemovalOutcome, StoreError> {
        let id = self.id(principal, key);
        self.engine().store().remove(id.principal(), id.key(), Removal::release(if_running)).await
    }

    /// Deletes the record of a key, so that a retry of its request is a new one and runs again.
    ///
    /// Neither does this process replay the outcome any longer, nor any other one after a second. What runs is refused,
    /// unless you say [`IfRunning::Remove`]. [`forget`](Self::forget) leaves the record where it is.
    ///
    /// ```
    /// use cratestack_runtime::records::{IfRunning, Principal, RemovalOutcome};
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// let forgotten = idempotency.forget_record(&Principal::named("alice"), "8e03978e", IfRunning::Refuse).await?;
    /// assert_eq!(forgotten, RemovalOutcome::Absent);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or has no such method. Calling again is safe.
    pub async fn forget_record(
        &self,
        principal: &Principal,
        key: &str,
        if_running: IfRunning,
    ) -> Result<RemovalOutcome, StoreError> {
        let id = self.id(principal, key);
        let outcome = self.engine().store().remove(id.principal(), id.key(), Removal::forget(if_running)).await;
        // Also where it failed: it may have happened.
        if !matches!(outcome, Ok(RemovalOutcome::Refused(_))) {
            self.engine().has_removed();
        }
        outcome
    }

    /// Deletes all records of a principal in the handle's namespace, a thousand at a time: what there is to erase of a
    /// customer who leaves.
    ///
    /// What runs stays, and is counted, unless you say [`IfRunning::Remove`]. Neither does this process replay what was
    /// erased any longer, nor any other one after a second.
    ///
    /// ```
    /// use cratestack_runtime::records::{IfRunning, Principal};
    /// use cratestack_runtime::{Idempotency, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
    /// let idempotency = Idempotency::new(MemoryStore::new());
    /// let erased = idempotency.forget_principal(&Principal::part("alice"), IfRunning::Refuse).await?;
    /// assert_eq!((erased.removed, erased.running), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, or has no such method. What was deleted until then stays deleted; calling
    /// again is safe.
    pub async fn forget_principal(
        &self,
        principal: &Principal,
        if_running: IfRunning,
    ) -> Result<RemovedAll, StoreError> {
        let id = self.id(principal, "");
        let mut removed = 0;
        loop {
            let removal = Removal::forget(if_running);
            let batch = self.engine().store().remove_all_of(id.principal(), removal, REMOVAL_BATCH).await;
            // Also where it failed: it may have happened.
            self.engine().has_removed();
            let batch = batch?;
            removed += batch.removed;
            if batch.removed < u64::from(REMOVAL_BATCH) {
                return Ok(RemovedAll { removed, running: batch.running });
            }
        }
    }

    /// As the store has it.
    fn id(&self, principal: &Principal, key: &str) -> RecordId {
        record_id(self.settings().namespace.as_deref(), principal.as_str(), key)
    }
}
