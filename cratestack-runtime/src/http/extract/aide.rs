//! For [aide](https://docs.rs/aide): what a guarded handler takes is what its own arguments take. They are documented,
//! and the guard around them is not.

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response};

use super::leading::Split;
use super::{AwaitingHandle, Guarded};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use super::{GuardedOver, Transacted};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::handle::Tx;
use crate::handle::{Reservation, ReservationKind};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
use crate::store::StoreDatabase;

macro_rules! documents_its_arguments {
    ($extractor:ident $($database:ident)?) => {
        impl<$($database,)? A: OperationInput, R, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> OperationInput
            for $extractor<$($database,)? A, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
        {
            fn operation_input(context: &mut GenContext, operation: &mut Operation) {
                A::operation_input(context, operation);
            }

            fn inferred_early_responses(
                context: &mut GenContext,
                operation: &mut Operation,
            ) -> Vec<(Option<u16>, Response)> {
                A::inferred_early_responses(context, operation)
            }
        }
    };
}

impl<K, A, R, const WHOLE: bool, const KEYED_BY_ARGUMENTS: bool, const BODY_LIMIT: usize> OperationInput
    for AwaitingHandle<K, A, WHOLE, R, KEYED_BY_ARGUMENTS, BODY_LIMIT>
where
    A: OperationInput + Split<WHOLE>,
{
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        A::operation_input(context, operation);
    }

    fn inferred_early_responses(context: &mut GenContext, operation: &mut Operation) -> Vec<(Option<u16>, Response)> {
        A::inferred_early_responses(context, operation)
    }
}

documents_its_arguments!(Guarded);
#[cfg(any(feature = "postgres", feature = "sqlite"))]
documents_its_arguments!(GuardedOver DB);
#[cfg(any(feature = "postgres", feature = "sqlite"))]
documents_its_arguments!(Transacted);

/// A client sends nothing for it.
impl<K: ReservationKind> OperationInput for Reservation<K> {}

/// A client sends nothing for it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl<DB: StoreDatabase> OperationInput for Tx<DB> {}
