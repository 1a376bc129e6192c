/// What an error of the work's was caused by, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(dead_code, reason = "only a database causes them")
)]
pub enum FailureCause {
    /// A serialization failure or a deadlock.
    Transient,
    /// Any other error of the database.
    Other,
}
