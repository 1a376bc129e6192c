//! Transactions that claim a key, and record its outcome in the commit of what the handler wrote.
//!
//! While one runs, an advisory lock of the transaction stands for its key, taken without waiting: it is gone with the
//! transaction, however that ends, and no row of ours is locked or dead meanwhile. The row is inserted at the end,
//! finished. A reservation without a transaction knows nothing of the lock; where one took the key in the meantime, the
//! insert finds its row, and everything is rolled back.
//!
//! A setting local to the transaction holds the token of whoever got the lock. It says so to the statement that reads,
//! which is the next one so that it sees what the lock's last holder committed; and it is gone where the handler has
//! ended the transaction by itself, so that the record can tell.

pub(super) mod begin;
pub(super) mod commit;
mod prepared;
pub(super) mod rollback;
