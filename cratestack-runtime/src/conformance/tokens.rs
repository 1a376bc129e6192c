//! Who of several callers reserved.

use uuid::Uuid;

use super::bench::{Checked, Stop};
use crate::store::ReservationOutcome;

/// The token of the only one of several callers who reserved.
pub(super) fn only_token(outcomes: &[ReservationOutcome], who: &str) -> Checked<Uuid> {
    let tokens = tokens(outcomes);
    let [token] = tokens[..] else {
        return Err(Stop::Broken(format!("{} {who}; exactly one may", tokens.len())));
    };
    Ok(token)
}

/// The same of each of `keys` keys, where the callers took turns with them.
pub(super) fn token_of_each(outcomes: &[ReservationOutcome], keys: usize, who: &str) -> Checked<Vec<Uuid>> {
    let of_key = |key| outcomes.iter().skip(key).step_by(keys).cloned().collect::<Vec<_>>();
    (0..keys).map(|key| only_token(&of_key(key), who)).collect()
}

pub(super) fn tokens(outcomes: &[ReservationOutcome]) -> Vec<Uuid> {
    let token = |outcome: &ReservationOutcome| match outcome {
        ReservationOutcome::Reserved { token } => Some(*token),
        _ => None,
    };
    outcomes.iter().filter_map(token).collect()
}
