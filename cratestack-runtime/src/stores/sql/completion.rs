use bytes::Bytes;
use uuid::Uuid;

use crate::store::Completion;

/// What a [`Completion`] says besides its names, while it waits.
#[derive(Debug)]
pub(crate) struct OwnedCompletion {
    pub(crate) token: Uuid,
    pub(crate) status: u16,
    pub(crate) headers: Box<[u8]>,
    pub(crate) body: Bytes,
}

impl From<Completion<'_>> for OwnedCompletion {
    fn from(completion: Completion<'_>) -> Self {
        let Completion { token, status, headers, body, .. } = completion;
        Self { token, status, headers: headers.into(), body: body.clone() }
    }
}
