//! The steps of a run: what it has done, so that its next attempt does not do it again.
//!
//! A step is recorded under the token of its run. It counts for that run, and for the run of the same request that
//! takes over from it; whoever else gets the key begins without steps.

use uuid::Uuid;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::error::StoreError;
use super::record_id::RecordIdRef;

/// A step that is to be recorded.
///
/// ```
/// use std::time::Duration;
/// use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, LeaseState, MemoryStore, StepRecord};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), cratestack_runtime::StoreError> {
/// let store = MemoryStore::new();
/// let (principal, key, lease) = ("alice", "k1", Duration::from_secs(30));
/// let claim = Claim { principal, key, request_hash: [0; 32], lease, retention: lease };
/// let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await? else { panic!("a fresh key is reserved") };
///
/// let charge = StepRecord { principal, key, token, name: "charge", value: b"ch_1" };
/// assert_eq!(store.record_step(charge).await?, LeaseState::Held);
/// assert_eq!(store.steps(principal, key, token).await?[0].name, "charge");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StepRecord<'a> {
    /// Who the key belongs to.
    pub principal: &'a str,
    /// The key.
    pub key: &'a str,
    /// The reservation's token.
    pub token: Uuid,
    /// What the run calls the step.
    pub name: &'a str,
    /// What came of it.
    pub value: &'a [u8],
}

impl<'a> StepRecord<'a> {
    pub(crate) fn id(&self) -> RecordIdRef<'a> {
        RecordIdRef { principal: self.principal, key: self.key }
    }
}

/// A step that a run has recorded.
///
/// ```
/// let step = cratestack_runtime::RecordedStep { name: "charge".to_owned(), value: b"ch_1".to_vec() };
/// # let _ = step;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStep {
    /// What the run called it.
    pub name: String,
    /// What came of it.
    pub value: Vec<u8>,
}

/// A step as the SQL stores append it to a row: the length of its name (four bytes, the lowest first), its name, and
/// the same of its value.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn encode_step(step: &StepRecord<'_>) -> Result<Vec<u8>, StoreError> {
    let mut entry = Vec::with_capacity(8 + step.name.len() + step.value.len());
    for part in [step.name.as_bytes(), step.value] {
        let length = u32::try_from(part.len())
            .map_err(|_| StoreError::Internal("a step of more than four gigabytes cannot be recorded".to_owned()))?;
        entry.extend_from_slice(&length.to_le_bytes());
        entry.extend_from_slice(part);
    }
    Ok(entry)
}

/// The steps that were appended to a row. Of those with one name the first counts: a call whose answer was lost may
/// have been sent again.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn decode_steps(mut entries: &[u8]) -> Result<Vec<RecordedStep>, StoreError> {
    let mut steps: Vec<RecordedStep> = Vec::new();
    while !entries.is_empty() {
        let name = String::from_utf8(take_part(&mut entries)?.to_vec()).map_err(|_| damaged())?;
        let value = take_part(&mut entries)?.to_vec();
        if steps.iter().all(|step| step.name != name) {
            steps.push(RecordedStep { name, value });
        }
    }
    Ok(steps)
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn take_part<'a>(entries: &mut &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (length, rest) = entries.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged())?;
    let (part, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
    *entries = rest;
    Ok(part)
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn damaged() -> StoreError {
    StoreError::Codec("the steps of a reservation are damaged".to_owned())
}

#[cfg(all(test, any(feature = "postgres", feature = "sqlite")))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &[u8]) -> Vec<u8> {
        encode_step(&StepRecord { principal: "p", key: "k", token: Uuid::nil(), name, value })
            .expect("a short step can be encoded")
    }

    #[test]
    fn steps_come_back_in_order_and_the_first_of_a_name_counts() {
        let entries = [entry("charge", b"ch_1"), entry("", b""), entry("charge", b"ch_2"), entry("ship", &[0, 255])];
        let steps = decode_steps(&entries.concat()).expect("whole steps can be decoded");
        let steps: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.value.as_slice())).collect();
        assert_eq!(steps, [("charge", b"ch_1".as_slice()), ("", b""), ("ship", &[0, 255])]);
        assert_eq!(decode_steps(&[]), Ok(Vec::new()));
    }

    #[test]
    fn whatever_is_cut_or_bent_is_an_error_and_no_panic() {
        let whole = [entry("charge", b"ch_1"), entry("ship", b"s")].concat();
        let boundary = entry("charge", b"ch_1").len();
        for end in (1..whole.len()).filter(|end| *end != boundary) {
            assert!(matches!(decode_steps(&whole[..end]), Err(StoreError::Codec(_))), "cut at {end}");
        }
        assert!(decode_steps(&[255; 64]).is_err());
        let mut bent = entry("é", b"");
        bent[4] = 0xff;
        assert!(decode_steps(&bent).is_err(), "a name is text");
    }
}
